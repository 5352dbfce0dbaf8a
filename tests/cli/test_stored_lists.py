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
code = main(sys.argv[1:])
heavy = {"torch", "transformers", "matplotlib", "rich.progress", "PIL", "prompt_toolkit"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else code)
"""


@pytest.mark.parametrize("file", LISTS)
def test_a_stored_list_is_what_it_describes(file):
    assert read_list(file) == json.loads(json.dumps(LISTS[file]())), REWRITE


@pytest.mark.parametrize(
    "words", [["policies"], ["policies", "hermes"], ["models"], ["doctor"], ["doctor", "--json"]]
)
def test_a_list_imports_nothing_that_takes_seconds(words, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", LISTED, *words],
        check=False,
        capture_output=True,
        text=True,
        env={"HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
