from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hermes_stream import FileSource, Session, load_model
from hermes_stream.cli import main
from hermes_stream.cli.chat import Player
from hermes_stream.cli.conversation import Line
from hermes_stream.cli.options import AnswerOptions
from hermes_stream.cli.transcript import Transcript

NOW = "what is on screen now?"
FIRST = "what came first?"


def test_lines_of_standard_input_are_questions(hermes, story):
    run = hermes("chat", story, "--speed", "0", "--json", typed=f"{NOW}\n\n{FIRST}\n")
    assert run.code == 0
    found = run.document
    assert found["num_frames"] == 8
    assert found["num_visual_tokens_seen"] == 72
    assert [answer["question"] for answer in found["answers"]] == [NOW, FIRST]
    assert all(answer["answer"] and answer["ttft_seconds"] > 0 for answer in found["answers"])
    assert run.out.count("\n") == 1
    assert f"> {NOW}" in run.err


def test_for_people(hermes, story):
    run = hermes("chat", story, "--speed", "0", typed=NOW)
    assert (run.code, run.told) == (0, "")
    question, answer = run.out.splitlines()
    assert question == f"> {NOW}"
    assert answer.startswith("[0:0")
    assert answer.endswith(" ms to the first token)")


def test_questions_are_piped_in_with_their_times(hermes, story):
    typed = f"0:01 {NOW}\n0:02 {NOW}\nand was there a dog?\n6.5 {FIRST}\n99 {NOW}\nquit\n{FIRST}\n"
    for speed in (0, 8):
        run = hermes("chat", story, "--speed", speed, "--json", typed=typed)
        assert run.code == 0
        answers = run.document["answers"]
        asked = [(answer["question"], answer["at_seconds"]) for answer in answers]
        assert asked == [(NOW, 1), (NOW, 2), ("and was there a dog?", 2), (FIRST, 6.5), (NOW, 8)]
        assert [answer["unknown_words"] for answer in answers] == [[], [], ["dog"], [], []]
        assert "1:39 is after the end of the video; answered at its end, 0:08" in run.err

    session, expected = Session(load_model("tiny")), {}
    for frame in FileSource(story, fps=1):
        session.observe(frame)
        expected[frame.pts_seconds] = [session.ask(question).text for question in (NOW, FIRST)]
    assert [answers[k]["answer"] for k in (0, 1, 3)] == [expected[1][0], expected[2][0], expected[6][1]]


class LateLines:
    """A conversation in which a line for second 2 comes at second 5."""

    is_over = False

    def until(self, seconds):
        return [Line(text=NOW, at_seconds=5.5), Line(text=NOW, at_seconds=2)] if seconds == 6 else []

    def rest(self):
        return []


def test_a_time_that_has_passed_is_told(story, capsys):
    session, source = Session(load_model("tiny")), FileSource(story, fps=1)
    options = AnswerOptions(max_new_tokens=4)
    transcript = Transcript(session, options, on_standard_error=False, echoes=True, prompt="")
    Player(session, source, transcript).play(LateLines(), tells_end=False)
    assert [answer["at_seconds"] for answer in transcript.answers] == [5.5, 5]
    assert "0:02 has passed; answered at 0:05" in capsys.readouterr().err


def test_commands_in_a_chat(hermes, story):
    run = hermes("chat", story, "--speed", "0", typed="/help\n/memory\n/nosuch\n/quit\n")
    assert (run.code, run.told) == (0, "")
    assert "/memory  what the memory holds" in run.out
    assert "visual tokens  " in run.out
    assert "there is no command '/nosuch'; /help lists them" in run.out


def test_quit_leaves_at_once(hermes, story):
    began = time.monotonic()
    run = hermes("chat", story, "--speed", "0.01", "--json", typed=f"{NOW}\nquit\n{FIRST}\n")
    assert time.monotonic() - began < 30
    assert run.code == 0
    assert run.document["num_frames"] < 8
    assert [answer["question"] for answer in run.document["answers"]] == [NOW]


def test_nothing_typed(hermes, story):
    run = hermes("chat", story, "--json")
    assert run.code == 0
    assert run.document["num_frames"] == 8
    assert run.document["answers"] == []


def test_a_question_that_fails_costs_only_its_turn(hermes, story):
    run = hermes("chat", story, "--speed", "0", "--json", typed=f"{'why? ' * 500}\n{NOW}\n")
    assert run.code == 1
    failed, answered = run.document["answers"]
    assert failed["answer"] is None
    assert failed["error"] in run.err
    assert answered["answer"]


def test_a_question_sees_the_video_up_to_the_moment_it_is_typed(story, monkeypatch, capsys):
    ask, is_answered = Session.ask, threading.Event()

    def answered(*given, **named):
        answer = ask(*given, **named)
        is_answered.set()
        return answer

    def type_lines():
        with os.fdopen(written, "w", buffering=1) as lines:
            lines.write(f"{NOW}\n")
            assert is_answered.wait(60)
            time.sleep(0.9)
            lines.write(f"{NOW}\n")

    read, written = os.pipe()
    monkeypatch.setattr(Session, "ask", answered)
    with os.fdopen(read) as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        person = threading.Thread(target=type_lines)
        person.start()
        assert main(["chat", str(story), "--speed", "4", "--json"]) == 0
        person.join()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    first, second = (answer["at_seconds"] for answer in found["answers"])
    assert first == 0
    assert 2 <= second <= 5
    assert found["num_frames"] == 8


@pytest.fixture
def interruptible():
    """Let children take interrupts, which those of a job in the background would ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.long
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_is_quiet(story):
    command = [sys.executable, "-m", "hermes_stream", "chat", str(story)]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdin.write(f"{NOW}\n")
        run.stdin.flush()
        while "to the first token" not in run.stdout.readline():
            pass
        run.send_signal(signal.SIGINT)
        assert run.stderr.read().count("\n") == 1  # what the model knows
        assert run.wait() == 130


def test_an_answer_that_is_not_sure_becomes_a_question_back(hermes, story):
    run = hermes("chat", story, "--speed", "0", "--clarify-below", "1", "--json", typed=f"{NOW}\n")
    assert run.code == 0
    (answer,) = run.document["answers"]
    assert answer["clarification"]
    assert answer["guess"] is not None
    assert f"asks back, would have said {answer['guess']!r}; " in run.err
