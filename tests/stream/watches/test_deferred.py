"""Questions that wait for their evidence: answered when it comes, or said not to have come."""

from __future__ import annotations

import pytest
from tests.lives import is_same

from hermes_stream import Engine, Session, load_model
from hermes_stream.synthetic.world import generate_world

FRAMES = list(generate_world(3294, 26).frames(1.0))  # a green circle comes at 16 s
UNTIL = "was there a green circle?"
QUESTION = "what colour was the circle?"


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", device="cpu")


def test_a_question_is_answered_when_its_evidence_comes(tiny):
    session, told = Session(tiny, fps=1, chunk_frames=1), []
    session.observe(FRAMES[:3])
    waiting = session.ask(QUESTION, wait_seconds=20, until=UNTIL, on_done=told.append)
    assert (waiting.state, waiting.answer, waiting.deadline_seconds) == ("waiting", None, 22.0)
    session.observe(FRAMES[3:16])
    assert waiting.state == "waiting"
    session.observe(FRAMES[16:17])
    assert waiting.state == "answered"
    assert str(waiting.answer) == "green"
    assert told == [waiting]
    assert len(session.watches) == 0


def test_where_the_evidence_does_not_come_in_time_that_is_said(tiny):
    session, told = Session(tiny, fps=1, chunk_frames=1), []
    session.observe(FRAMES[:3])
    waiting = session.ask(QUESTION, wait_seconds=5, until=UNTIL, on_done=told.append)
    session.observe(FRAMES[3:7])
    assert waiting.state == "waiting"
    session.observe(FRAMES[7:8])
    assert (waiting.state, waiting.answer) == ("not_seen", None)
    assert told == [waiting]
    assert len(session.watches) == 0


def test_a_question_asked_before_the_first_frame_waits_from_it_on(tiny):
    session = Session(tiny, fps=1, chunk_frames=1)
    waiting = session.ask(QUESTION, wait_seconds=16, until=UNTIL)
    assert waiting.deadline_seconds is None
    session.observe(FRAMES)
    assert waiting.deadline_seconds == 16.0
    assert waiting.state == "answered"


def test_a_question_that_is_cancelled_is_not_asked(tiny):
    session, told = Session(tiny, fps=1, chunk_frames=1), []
    waiting = session.ask(QUESTION, wait_seconds=60, until=UNTIL, on_done=told.append)
    waiting.cancel()
    waiting.cancel()
    session.observe(FRAMES)
    assert (waiting.state, told) == ("cancelled", [waiting])


def test_with_options_the_model_is_asked_whether_it_has_seen_it(tiny):
    session = Session(tiny, fps=1, chunk_frames=1)
    waiting = session.ask(QUESTION, ["green", "red"], wait_seconds=3600)
    (watch,) = session.watches
    assert watch.rules.options == ("green", "red", "not seen")
    session.observe(FRAMES)
    assert waiting.state in ("waiting", "answered")


def test_a_stream_of_an_engine_asks_after_its_steps_and_its_memory_is_as_without(tiny):
    engine = Engine(tiny)
    handle, alone = (engine.add(fps=1, chunk_frames=1) for _ in range(2))
    told = []
    waiting = handle.ask_when(QUESTION, wait_seconds=60, until=UNTIL, on_done=told.append, max_new_tokens=4)
    for frame in FRAMES[:20]:
        handle.observe(frame)
        alone.observe(frame)
        engine.run()
    assert told == [waiting]
    assert waiting.answer is not None
    assert waiting.answer.text == "green"
    assert alone.ask(QUESTION, max_new_tokens=4).text == "green"
    engine.run()
    assert is_same(handle.stream, alone.stream)


def test_who_waits_is_told_that_the_stream_is_closed(tiny):
    told = []
    with Engine(tiny).add(fps=1, chunk_frames=1) as handle:
        waiting = handle.ask_when(QUESTION, wait_seconds=60, until=UNTIL, on_done=told.append)
    assert (waiting.state, told) == ("cancelled", [waiting])


def test_what_listens_may_fail(tiny, caplog):
    def fail(_):
        raise ValueError("nobody is there")

    session = Session(tiny, fps=1, chunk_frames=1)
    waiting = session.ask(QUESTION, wait_seconds=2, until=UNTIL, on_done=fail)
    session.observe(FRAMES[:6])
    assert waiting.state == "not_seen"
    assert "nobody is there" in caplog.text


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), True, "60"])
def test_a_wait_that_is_none_is_refused(tiny, seconds):
    session = Session(tiny, fps=1, chunk_frames=1)
    with pytest.raises(ValueError, match="wait_seconds must be a number of seconds above 0"):
        session.ask(QUESTION, wait_seconds=seconds)
    assert len(session.watches) == 0
