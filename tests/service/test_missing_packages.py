"""Without the packages of a service the rest works, and the service says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CODE = """
import sys
for name in ("sqlalchemy", "alembic", "pydantic", "zstandard", "psycopg"):
    sys.modules[name] = None
import hermes_stream
from hermes_stream import Session
try:
    hermes_stream.Service
except hermes_stream.MissingPackageError as error:
    print(error)
"""


@pytest.mark.long
def test_what_is_missing_is_named():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CODE], capture_output=True, text=True, check=True
    )
    assert "pip install 'hermes-stream[server]'" in run.stdout
