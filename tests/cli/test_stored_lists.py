from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hermes_lab.cli.stored_lists import LISTS
from hermes_stream.cli.stored_lists import read_list

REWRITE = "run: python -m hermes_lab.cli.stored_lists"
LISTED = """
import sys
from hermes_stream.cli import main
for words in ("policies", "policies hermes", "models", "doctor", "doctor --json"):
    code = main(words.split())
    heavy = {"torch", "transformers", "matplotlib", "PIL", "prompt_toolkit"} & set(sys.modules)
    if code or heavy:
        sys.exit(f"{words}: code {code}, imported {heavy}")
"""


@pytest.mark.parametrize("file", LISTS)
def test_a_stored_list_is_what_it_describes(file):
    assert read_list(file) == json.loads(json.dumps(LISTS[file]())), REWRITE


def test_a_list_imports_nothing_that_takes_seconds(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", LISTED],
        check=False,
        capture_output=True,
        text=True,
        env={"HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
