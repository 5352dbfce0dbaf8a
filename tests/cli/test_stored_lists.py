from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hermes_stream.cli.stored_lists import (
    MODELS_FILE,
    POLICIES_FILE,
    describe_models,
    describe_policies,
    read_list,
)

REWRITE = "run: python -m hermes_stream.cli.stored_lists"
LISTED = """
import sys, time
from hermes_stream.cli import main
code = main(sys.argv[1:])
heavy = {"torch", "transformers", "matplotlib"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else f"{time.process_time()} s" if time.process_time() > 1 else code)
"""


@pytest.mark.parametrize(
    ("file", "describe"), [(POLICIES_FILE, describe_policies), (MODELS_FILE, describe_models)]
)
def test_a_stored_list_is_what_it_describes(file, describe):
    assert read_list(file) == json.loads(json.dumps(describe())), REWRITE


@pytest.mark.parametrize("words", [["policies"], ["policies", "--json"], ["models"], ["doctor", "--quick"]])
def test_a_list_takes_less_than_a_second_and_no_torch(words, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", LISTED, *words],
        check=False,
        capture_output=True,
        text=True,
        env={"HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
