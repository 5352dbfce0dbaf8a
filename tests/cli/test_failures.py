"""What goes wrong around a command: its streams, its memory, signals; always words and an exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from hermes_stream import __version__
from hermes_stream.cli.failures import failure_of, run_to_exit_code
from hermes_stream.cli.interruption import Terminated
from hermes_stream.errors import VideoError, WorkerError
from hermes_stream.synthetic.recording import Recording

COMMAND = f"{sys.executable} -m hermes_stream"
NOW = "what is on screen now?"


def shell(line, **environment):
    environment = os.environ | environment
    return subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("words", ["policies", "policies --json", "--help"])
def test_a_full_disk(words):
    run = shell(f"{COMMAND} {words} > /dev/full")
    assert run.returncode == 1
    assert run.stderr == "hermes: error: standard output: No space left on device\n"


def test_streams_that_are_closed():
    run = shell(f"{COMMAND} policies >&-")
    assert run.returncode == 1
    assert run.stderr.startswith("hermes: error: standard output is closed")
    assert run.stderr.count("\n") == 1
    run = shell(f"{COMMAND} policies nosuch 2>&-")
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "")
    run = shell(f"{COMMAND} policies hermes --json <&-")
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("words", ["policies", "models", "policies hermes", "ask --help"])
def test_a_terminal_of_60_columns_that_knows_ascii(words):
    plain = {"PYTHONUTF8": "0", "LC_ALL": "C", "LANG": "C", "COLUMNS": "60"}
    run = shell(f"{COMMAND} {words}", **plain)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.isascii()
    assert "?" not in run.stdout.replace("what?", "")
    longest = max(run.stdout.splitlines(), key=len)
    assert len(longest) <= 60 or " " not in longest.strip()


def test_the_demo_in_60_columns_of_ascii(hermes, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("hermes_stream.cli.output.encodes", lambda *_: False)
    monkeypatch.setattr("hermes_stream.cli.demo_table.encodes", lambda *_: False)
    run = hermes("demo", "--seed", "3", "--seconds", "20", "--budget-tokens", "60")
    assert run.code == 0
    assert run.out.isascii()
    assert max(map(len, run.out.splitlines()[1:])) <= 60
    assert sum(line.startswith("       right ") for line in run.out.splitlines()) > 10


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["bogus"], "UsageError", 2),
        (["ask", "clip.mp4"], "MissingParameter", 2),
        (["ask", "clip.mp4", NOW, "--at", "soon"], "BadParameter", 2),
        (["ask", "nosuch.mp4", NOW], "VideoError", 1),
        (["chat", "nosuch.mp4"], "VideoError", 1),
        (["doctor", "--model", "nosuch"], "ModelError", 1),
        (["policies", "nosuch"], "BadParameter", 2),
    ],
)
def test_an_error_is_a_document_too(hermes, words, kind, code):
    run = hermes(*words, "--json")
    assert run.code == code
    message = run.err.splitlines()[-1].removeprefix("hermes: error: ")
    error = {"type": kind, "message": message}
    assert run.document == {"schema": "hermes.error/1", "version": __version__, "error": error}


@pytest.mark.parametrize("words", [["policies"], ["models"], ["doctor"], ["demo", "--seconds", "20"]])
def test_a_document_says_what_it_is(hermes, words):
    document = hermes(*words, "--json").document
    assert (document["schema"], document["version"]) == (f"hermes.{words[0]}/1", __version__)
    assert hermes(*words[:1], "--nosuch", "--json").document["schema"] == "hermes.error/1"


@pytest.mark.parametrize(
    ("error", "kind", "message", "code"),
    [
        (VideoError("no video"), "VideoError", "no video", 1),
        (ValueError("no number"), "ValueError", "no number", 1),
        (MemoryError(), "MemoryError", "ran out of memory (no more can be allocated); lower --budget", 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "RuntimeError", "lower", 1),
        (torch.OutOfMemoryError("CUDA out of memory"), "OutOfMemoryError", "CUDA out of memory", 1),
        (PermissionError(errno.EACCES, "denied", "some.mp4"), "PermissionError", "some.mp4: denied", 1),
        (KeyboardInterrupt(), "KeyboardInterrupt", "interrupted", 130),
        (Terminated(), "Terminated", "SIGTERM", 143),
        (WorkerError("one was lost"), "WorkerError", "one was lost", 3),
    ],
)
def test_failures_in_words(error, kind, message, code):
    failure = failure_of(error)
    assert (failure.kind, failure.exit_code) == (kind, code)
    assert message in failure.message


INTERRUPTED_IN_TEXT = """
import sys
from hermes_stream.cli import app, models as module
def models(json: bool = False) -> None:
    exec("import signal; signal.raise_signal(signal.SIGINT)")
module.models = models
sys.exit(app.main(["models", "--json"]))
"""


def test_the_exit_code_of_ctrl_c_is_the_same_wherever_it_comes(tmp_path):
    (tmp_path / "interrupted.py").write_text(INTERRUPTED_IN_TEXT)
    command = [sys.executable, "-m", "interrupted"]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (130, "")
    error = json.loads(run.stdout)["error"]
    assert error == {"type": "KeyboardInterrupt", "message": "interrupted"}


INTERRUPTED_IN_AN_IMPORT = """
import os, signal, sys
from hermes_stream.cli import app, models as module
def models(json: bool = False) -> None:
    try:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        signal.pause()
    except BaseException:
        raise RecursionError("what a half imported module raises") from None
module.models = models
sys.exit(app.main(["models"]))
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_what_a_library_makes_of_a_signal_while_it_is_imported_is_the_signal(tmp_path, name, code):
    (tmp_path / "interrupted.py").write_text(INTERRUPTED_IN_AN_IMPORT)
    command = [sys.executable, "-m", "interrupted", name]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == code
    assert "Traceback" not in run.stderr


def test_a_file_that_cannot_be_written_after_a_signal_is_told(capsys):
    def command():
        raise PermissionError(errno.EACCES, "denied", "some.json")

    assert run_to_exit_code(command, as_json=False, signals=[Terminated()]) == 1
    assert "some.json: denied" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback():
    assert failure_of(RuntimeError("shapes differ")) is None

    def bug():
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_to_exit_code(bug, as_json=True)


def test_out_of_memory_on_a_processor(hermes, monkeypatch, story):
    def allocate(*_):
        return torch.empty(2**50)

    monkeypatch.setattr("hermes_stream.cli.opening.open_session", allocate)
    run = hermes("ask", story, NOW, "--json")
    assert run.code == 1
    assert "ran out of memory" in run.document["error"]["message"]
    assert "Traceback" not in run.err


def terminated_after(num_items, items):
    """Yield some items, then send SIGTERM to this process, as another would."""
    for number, item in enumerate(items):
        if number == num_items:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)  # a signal reaches Python between two of its steps
        yield item


@pytest.fixture
def terminated_videos(monkeypatch):
    from hermes_stream.video import FileSource

    frames = FileSource.__iter__
    monkeypatch.setattr(FileSource, "__iter__", lambda source: terminated_after(4, frames(source)))


@pytest.mark.usefixtures("terminated_videos")
def test_sigterm_ends_ask_with_what_was_done(hermes, story):
    words = ["ask", story, NOW, NOW, NOW, "--at", "1", "--at", "9", "--at", "2"]
    run = hermes(*words, "--json")
    assert run.code == 143
    assert [answer["at_seconds"] for answer in run.document["answers"]] == [1, 2]
    assert run.document["num_frames"] == 4
    done = "ended by SIGTERM; 2 of 3 questions answered, 4 frames watched"
    assert run.document["error"] == {"type": "Terminated", "message": done}
    assert f"hermes: error: {done}" in run.told
    run = hermes(*words)
    assert (run.code, run.out.count("to the first token")) == (143, 2)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("terminated_videos")
def test_sigterm_ends_chat_with_what_was_done(hermes, story):
    run = hermes("chat", story, "--speed", "0", "--json", typed=f"0:02 {NOW}\n")
    assert run.code == 143
    assert [answer["at_seconds"] for answer in run.document["answers"]] == [2]
    assert run.document["error"]["message"] == "ended by SIGTERM; 1 questions asked until 0:03 of the video"


def test_sigterm_ends_the_demo_with_what_was_done(hermes, monkeypatch):
    play = Recording.play
    monkeypatch.setattr(Recording, "play", lambda *a, **k: terminated_after(7, play(*a, **k)))
    words = ["demo", "--seconds", "20", "--against", "none"]
    run = hermes(*words, "--json")
    assert (run.code, run.document["num_questions"]) == (143, 7)
    assert run.document["error"]["message"] == "ended by SIGTERM; 7 of 40 questions answered"
    assert "of 7 answers right" in hermes(*words).out


def test_sigterm_before_there_is_anything_to_tell(hermes, monkeypatch):
    monkeypatch.setattr(Recording, "play", lambda *_, **__: terminated_after(0, [None]))
    run = hermes("demo", "--seconds", "20", "--json")
    assert (run.code, run.document["error"]["type"]) == (143, "Terminated")


def test_an_interrupt_tells_what_was_done(hermes, story, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hermes_stream.stream.Session.flush", interrupt)
    run = hermes("ask", story, NOW, "--at", "1", "--json")
    assert (run.code, run.told) == (130, "")
    assert len(run.document["answers"]) == 1
    assert run.document["error"]["type"] == "KeyboardInterrupt"
