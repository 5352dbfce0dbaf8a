"""The examples run as they stand."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "tests/data/media/h265_video.mp4"
ARGUMENTS = {"ask_a_file": [str(CLIP), "what is on screen now?"], "watch_pictures": [], "watch_many": []}


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(example), *ARGUMENTS[example.stem]])
    runpy.run_path(str(example), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    if example.stem == "ask_a_file":
        assert "ms to the first token" in lines[-1]
    elif example.stem == "watch_many":
        assert [line.split(":")[0] for line in lines[:4]] == [f"stream {k}" for k in range(4)]
        assert "one more takes" in lines[-1]
    else:
        seen = [line.split(": ")[1].split(",")[0] for line in lines]
        assert seen == ["red square", "nothing", "red square", "nothing"]
        assert len({line.split(", ")[-1] for line in lines}) == 1
