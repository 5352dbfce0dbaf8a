"""Tables in the docs say what the stored results say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[1] / "results"


@pytest.mark.parametrize("script", ["tables.py", "evidence.py"])
def test_a_page_is_what_its_script_writes(script):
    run = subprocess.run(
        [sys.executable, str(RESULTS / script), "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, ""), f"run python results/{script}"
