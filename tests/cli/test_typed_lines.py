"""A chat at a terminal: lines are edited, remembered, and answered above a clock."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import pytest

pytest.importorskip("prompt_toolkit")

WHERE_IS_THE_CURSOR, FIFTH_LINE = b"\x1b[6n", b"\x1b[5;1R"
LEFT, UP, ERASE, ENTER = b"\x1b[D", b"\x1b[A", b"\x7f", b"\r"


class Terminal:
    """A program at a terminal of its own, which says where its cursor is as terminals do."""

    def __init__(self, command, environment):
        self.ours, theirs = pty.openpty()
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.run = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        self.shown = b""

    def type(self, keys):
        os.write(self.ours, keys)

    def wait_for(self, text, *, seconds=30):
        """Read until a text appears behind what was waited for before."""
        until, seen = time.monotonic() + seconds, b""
        while text not in seen:
            assert time.monotonic() < until, f"{text!r} is not in {seen!r}"
            if select.select([self.ours], [], [], 0.1)[0]:
                new = os.read(self.ours, 65536)
                os.write(self.ours, FIFTH_LINE * new.count(WHERE_IS_THE_CURSOR))
                seen += new
        self.shown += seen

    def end(self, *, seconds=15):
        until = time.monotonic() + seconds
        while self.run.poll() is None and time.monotonic() < until:
            if select.select([self.ours], [], [], 0.1)[0]:
                self.shown += os.read(self.ours, 65536)
        return self.run.wait(1)


@pytest.fixture
def chat(story, tmp_path):
    environment = os.environ | {"TERM": "xterm", "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "", "LINES": ""}
    command = [sys.executable, "-m", "hermes_stream", "chat", str(story), "--speed", "0.5"]
    terminal = Terminal(command, environment)
    terminal.wait_for(WHERE_IS_THE_CURSOR, seconds=60)
    terminal.wait_for(b" of 0:08")
    yield terminal
    terminal.run.kill()
    terminal.run.wait()
    os.close(terminal.ours)
    os.close(terminal.theirs)


@pytest.mark.long
def test_lines_are_edited_and_remembered(chat, tmp_path):
    chat.type(b"what is on screem now?" + 5 * LEFT + ERASE + b"n" + ENTER)
    chat.wait_for(b"to the first token")
    assert b"[0:0" in chat.shown
    assert b"is no word that tiny knows" not in chat.shown
    chat.type(b"/memory" + ENTER)
    chat.wait_for(b"at most 144 a layer")
    chat.type(UP + UP + ENTER)
    chat.wait_for(b"to the first token")
    chat.type(b"\x04")  # end of input
    assert chat.end() == 0
    assert termios.tcgetattr(chat.theirs) == chat.before
    history = (tmp_path / "hermes-stream" / "chat-history").read_text()
    assert history.count("+what is on screen now?") == 2
    assert "+/memory" in history


@pytest.mark.long
@pytest.mark.parametrize(
    ("leave", "code"),
    [
        (lambda chat: chat.type(b"\x03"), 130),
        (lambda chat: chat.run.send_signal(signal.SIGTERM), 143),
    ],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_the_terminal_is_left_as_it_was(chat, leave, code):
    leave(chat)
    assert chat.end() == code
    assert termios.tcgetattr(chat.theirs) == chat.before
    assert b"Traceback" not in chat.shown
    assert (b"ended by SIGTERM" in chat.shown) == (code == 143)
