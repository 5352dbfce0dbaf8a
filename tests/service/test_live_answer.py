"""Answers that are read while they are made: by several threads, in asyncio, or not at all."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from tests.checkpoints import random_frames
from tests.service.test_service import FEW, QUESTION, push
from tests.waiting import until

from hermes_stream.errors import ClosedError
from hermes_stream.service import Service
from hermes_stream.service.live_answer import LiveAnswer
from hermes_stream.stream.answer import Answer
from hermes_stream.synthetic.world import generate_world


@pytest.fixture
def making():
    """An answer of three pieces: a function makes the next."""
    live, answer = LiveAnswer("door", "what?"), Answer("what?")
    live.attach(answer, lambda _: None)

    def make(piece: str) -> None:
        answer.token_ids.append(len(answer.token_ids))
        answer.give(piece)
        live.follow(answer)

    return live, make


def test_every_reader_gets_every_piece(making):
    live, make = making
    got = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda own=own: own.extend(live)) for own in got]
    for thread in threads[:2]:
        thread.start()
    for piece in ("a ", "red ", "square"):
        make(piece)
        time.sleep(0.01)
    live.end("stop")
    for thread in threads[2:]:
        thread.start()  # late
    for thread in threads:
        thread.join(5)
    assert got == [["a ", "red ", "square"]] * 4
    assert live.text == str(live) == "a red square"
    assert live.token_ids == (0, 1, 2)
    assert live.ttft_with_pending_seconds >= live.ttft_seconds > 0
    assert live.wait(0)


def test_asyncio_reads_many_answers_without_a_thread_for_each():
    async def read_all() -> list[str]:
        answers = [(LiveAnswer("door", str(k)), Answer(str(k))) for k in range(50)]

        def make() -> None:
            for piece in ("x", "y"):
                for live, answer in answers:
                    answer.give(piece)
                    live.follow(answer)
                time.sleep(0.02)
            for live, _ in answers:
                live.end("stop")

        async def read(live: LiveAnswer) -> str:
            return "".join([piece async for piece in live])

        before = threading.active_count()
        thread = threading.Thread(target=make)
        tasks = [asyncio.create_task(read(live)) for live, _ in answers]
        await asyncio.sleep(0)
        thread.start()
        assert threading.active_count() <= before + 1
        texts = await asyncio.gather(*tasks)
        thread.join()
        assert not any(live._listeners for live, _ in answers)
        return texts

    assert asyncio.run(read_all()) == ["xy"] * 50


def test_a_failure_comes_behind_what_there_is(making):
    live, make = making
    make("a ")
    live.fail("the engine has failed")
    pieces = iter(live)
    assert next(pieces) == "a "
    with pytest.raises(ClosedError, match="the engine has failed"):
        next(pieces)
    assert live.finish_reason == "failed"
    live.end("stop")  # too late
    assert live.finish_reason == "failed"

    async def read() -> None:
        async for _ in live:
            pass

    with pytest.raises(ClosedError):
        asyncio.run(read())


def test_a_cancelled_reader_leaves_no_listener(making):
    live, _ = making

    async def read() -> None:
        async def wait() -> None:
            async for _ in live:
                pass

        task = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(read())
    live.end("abandoned")
    assert "abandoned" in repr(live)


def test_an_answer_that_a_snapshot_ends_is_handed_out(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(5))
    live, answer = service._running.registry.find("door").live, LiveAnswer("door", QUESTION, ())

    def ask_and_save(engine):
        live.ask(answer, lambda _: None, num_moments=0, remembered=False, max_new_tokens=6)
        engine.step()  # from here on it is in hand, and a snapshot waits for its end
        return live.handle.snapshot()

    service._running.thread.run(ask_and_save)
    assert answer.wait(10)
    assert answer.finish_reason in ("stop", "length")


GATE = "was there a green circle?"


@pytest.fixture
def waiting(tmp_path):
    """Open a stream that has shown three seconds, and ask what waits for a green circle."""
    with Service("tiny", tmp_path) as service:
        service.open_stream("door", fps=1.0, chunk_frames=1)
        frames = list(generate_world(3294, 26).frames(1.0))  # it comes at 16 s
        service.push_frames("door", frames[:3], wait_seconds=10)

        def ask(**choices):
            asked = "what colour was the first circle?"
            return service, frames[3:], service.ask("door", asked, until=GATE, **choices)

        yield ask


def test_a_question_waits_for_its_evidence(waiting):
    service, frames, live = waiting(wait_seconds=20)
    assert live.is_waiting
    assert not live.wait(0.3)
    service.push_frames("door", frames, wait_seconds=10)
    assert live.wait(10)
    assert (live.text, live.finish_reason, live.is_waiting) == ("green", "stop", False)
    assert live.ttft_seconds < 5
    assert until(lambda: service.questions("door"))[0].asked.answer == "green"


def test_evidence_that_does_not_come_is_said(waiting):
    service, frames, live = waiting(wait_seconds=5)
    service.push_frames("door", frames[:9], wait_seconds=10)
    assert live.wait(10)
    assert (live.text, live.finish_reason) == ("", "not_seen")
    assert until(lambda: service.questions("door"))[0].asked.finish_reason == "not_seen"
    assert service.stream("door").num_open_questions == 0


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_question_that_waits_may_be_given_up(waiting, how):
    service, _, live = waiting(wait_seconds=3600)
    if how == "cancelled":
        live.cancel()
    else:
        service.close_stream("door")
    assert live.wait(10)
    assert live.finish_reason == {"cancelled": "abandoned", "closed": "failed"}[how]
    assert len(until(lambda: service.questions("door"))) == 1
