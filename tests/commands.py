"""What tests of commands share: the command in this process, clips, a story of the embedded world."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hermes_stream.cli import main
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video import write_video

KNOWS = "coloured shapes that move in a generated world"


@dataclass(frozen=True)
class Outcome:
    """What one run of the command left."""

    code: int
    out: str
    err: str

    @property
    def told(self):
        """Standard error, without the warning that an embedded model knows its own world alone."""
        lines = self.err.splitlines(keepends=True)
        return "".join(line for line in lines if f"knows {KNOWS}" not in line)

    @property
    def document(self):
        return json.loads(self.out.splitlines()[-1])


@contextmanager
def logging_put_back():
    """Leave logging as it was: a server that ran in this process logs to an error stream that is gone."""
    loggers = [logging.getLogger(name) for name in (None, *logging.root.manager.loggerDict)]
    before = [(one, one.handlers[:], one.level) for one in loggers]
    try:
        yield
    finally:
        for one, handlers, level in before:
            one.handlers[:] = handlers
            one.setLevel(level)


@pytest.fixture
def hermes(capsys, monkeypatch, tmp_path):
    """Run the command in this process; ``typed`` is what stands in standard input."""

    def run(*arguments: object, typed: str = "") -> Outcome:
        lines = tmp_path / "typed.txt"
        lines.write_text(typed)
        with lines.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            with logging_put_back():
                code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def media():
    return Path(__file__).parent / "data" / "media"


@pytest.fixture(scope="session")
def story(tmp_path_factory):
    """Eight seconds of the embedded model's world, four pictures a second."""
    path = tmp_path_factory.mktemp("story") / "story.mp4"
    write_video(path, generate_world(11, 8).frames(4), fps=4)
    return path
