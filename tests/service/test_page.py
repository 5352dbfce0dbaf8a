"""The page of the service: its example runs, and its tables name what there is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import get_args

from tests.checkpoints import random_frames

from hermes_stream.service.events import EventKind
from hermes_stream.service.status import StreamState

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/service.md").read_text(encoding="utf-8")


def test_its_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "tests/data/media/h265_video.mp4", "clip.mp4")
    code = re.search(r"```python\n(from hermes_stream import Service.*?)```", PAGE, re.DOTALL)
    assert code is not None
    exec(compile(code[1], "service.md", "exec"), {"frames": random_frames(20, fps=2.0)})
    assert capsys.readouterr().out.split()[-1] == "live"


def test_its_tables_name_every_state_and_event():
    for name in (*get_args(StreamState), *get_args(EventKind)):
        assert f"`{name}`" in PAGE, name
