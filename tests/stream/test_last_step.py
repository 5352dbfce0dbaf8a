"""A change to a memory is done as a whole: Ctrl-C waits for its end, and a failure in it is remembered."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch.utils.hooks import RemovableHandle

from hermes_stream import Frame, Session, load_model
from hermes_stream.buffers import WholeBuffers
from hermes_stream.cache import StreamCache
from hermes_stream.errors import BrokenMemoryError
from hermes_stream.last_step import LastStep, Uninterrupted
from hermes_stream.policies.named import choose_policy
from hermes_stream.retrieval.archive import Archive
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.intake import Intake

QUESTION = "what is on screen now?"


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


def frames_of(count: int, *, start: int = 0) -> list[Frame]:
    images = np.random.default_rng(start).integers(0, 256, (count, 48, 48, 3), dtype=np.uint8)
    return [Frame(pts_seconds=float(start + k), image=image) for k, image in enumerate(images)]


def watched(model, policy: str = "hermes") -> Session:
    session = Session(model, choose_policy(policy, None, 60), chunk_frames=4)
    session.observe(frames_of(12))
    return session


def fails_once(monkeypatch, owner: type, name: str, fail) -> None:
    """Let a method fail once it has done its work."""
    own, left = getattr(owner, name), [None]

    def failing(*args, **options):
        result = own(*args, **options)
        if left:
            left.pop()
            fail()
        return result

    monkeypatch.setattr(owner, name, failing)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def run_out_of_memory() -> None:
    raise torch.OutOfMemoryError("planted")


@pytest.mark.parametrize("policy", ["hermes", "hermes_paper", "window", "rekv_bounded", "recent_n"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (WholeBuffers, "select"),
        (StreamCache, "apply"),
        (Archive, "commit"),
        (Intake, "drop"),
        (StreamCache, "append"),
        (StreamCache, "rewind"),
    ],
)
def test_ctrl_c_leaves_a_memory_as_it_was_or_as_it_was_meant(tiny, monkeypatch, policy, owner, name):
    expected = watched(tiny, policy)
    expected.observe(frames_of(8, start=12))
    session = watched(tiny, policy)
    with monkeypatch.context() as patched:
        fails_once(patched, owner, name, press_ctrl_c)
        with suppress(KeyboardInterrupt):
            session.observe(frames_of(4, start=12))
            session.next_token_logits(QUESTION)
    session.observe([frame for frame in frames_of(8, start=12) if frame.pts_seconds >= 16])
    assert torch.equal(session.next_token_logits(QUESTION), expected.next_token_logits(QUESTION))


@pytest.mark.parametrize("policy", ["hermes", "hermes_paper", "window", "rekv_bounded"])
def test_a_memory_that_was_left_half_moved_is_read_no_more(tiny, monkeypatch, tmp_path, policy):
    engine = Engine(tiny)
    one, other = (engine.add(choose_policy(policy, None, 60), chunk_frames=4) for _ in range(2))
    for handle in (one, other):
        handle.observe(frames_of(12))
    engine.run()

    with monkeypatch.context() as patched:
        fails_once(patched, WholeBuffers, "select", run_out_of_memory)
        one.observe(frames_of(4, start=12))
        engine.run()
    other.observe(frames_of(4, start=12))
    engine.run()
    with pytest.raises(torch.OutOfMemoryError):
        one.observe(())
    engine.run()
    with pytest.raises(BrokenMemoryError, match=r"broken: OutOfMemoryError \(planted\) came"):
        one.observe(())
    with pytest.raises(BrokenMemoryError, match="restore a snapshot, or open a new stream"):
        str(one.ask(QUESTION))
    with pytest.raises(BrokenMemoryError):
        one.save(tmp_path / "broken.safetensors")
    assert one.stream.stats.num_failed_frames == 0
    alone = watched(tiny, policy)
    alone.observe(frames_of(4, start=12))
    assert other.ask(QUESTION).text == alone.ask(QUESTION).text


def test_a_plan_that_fails_leaves_a_memory_whole(tiny, monkeypatch):
    session, expected = watched(tiny), watched(tiny)

    with monkeypatch.context() as patched:
        fails_once(patched, StreamCache, "state", run_out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            session.observe(frames_of(4, start=12))
    session.flush()
    expected.observe(frames_of(4, start=12))
    assert torch.equal(session.next_token_logits(QUESTION), expected.next_token_logits(QUESTION))


def test_buffers_that_cannot_grow_stay_as_they_are(tiny, monkeypatch):
    session, expected = (Session(tiny, choose_policy("full", None, 60), chunk_frames=4) for _ in range(2))
    for one in (session, expected):
        one.observe(frames_of(12))
    before = session.next_token_logits(QUESTION)

    with monkeypatch.context() as patched:
        fails_once(patched, WholeBuffers, "copy_from", run_out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            session.observe(frames_of(200, start=12))
    assert session.stats.num_frames < 212
    if session.stats.num_frames == 12:
        assert torch.equal(session.next_token_logits(QUESTION), before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGALRM])
def test_signals_come_behind_the_block(number):
    heard = []
    before = signal.signal(number, lambda *_: heard.append("heard"))
    try:
        with Uninterrupted():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            heard.append("done")
        assert heard == ["done", "heard"]
        os.kill(os.getpid(), number)
        assert heard == ["done", "heard", "heard"]
    finally:
        signal.signal(number, before)


def test_a_signal_that_raises_nothing_hides_no_other():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append("alarm"))
    try:
        with pytest.raises(KeyboardInterrupt), Uninterrupted():
            [os.kill(os.getpid(), number) for number in (signal.SIGALRM, signal.SIGINT)]
        assert heard == ["alarm"]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_block_in_another_thread_changes_no_handler():
    found = []

    def work() -> None:
        with LastStep():
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_hook_that_ctrl_c_leaves_behind_harms_no_other_forward(tiny, monkeypatch):
    expected = watched(tiny).next_token_logits(QUESTION)
    hooks = [layer._forward_pre_hooks for layer in tiny.decoder.layers]
    assert not any(hooks)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(RemovableHandle, "remove", lambda _: None)
            watched(tiny)
        assert any(hooks)
        assert torch.equal(watched(tiny).next_token_logits(QUESTION), expected)
    finally:
        for own in hooks:
            own.clear()


def test_ctrl_c_while_hooks_are_set_leaves_none(tiny, monkeypatch):
    expected = watched(tiny)
    expected.observe(frames_of(4, start=12))
    session = watched(tiny)
    with monkeypatch.context() as patched:
        fails_once(patched, torch.nn.Module, "get_submodule", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            session.observe(frames_of(4, start=12))
    assert not any(layer._forward_pre_hooks for layer in tiny.decoder.layers)
    session.flush()
    assert torch.equal(session.next_token_logits(QUESTION), expected.next_token_logits(QUESTION))


def test_ctrl_c_behind_a_chunk_that_compresses_nothing_keeps_it(tiny, monkeypatch):
    session, expected = (Session(tiny, choose_policy("hermes", None, 5000), chunk_frames=4) for _ in range(2))
    frames = frames_of(8)
    expected.observe(frames)
    session.observe(frames[:4])
    with monkeypatch.context() as patched:
        fails_once(patched, Intake, "drop", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            session.observe(frames[4:])
    assert session.stats.num_frames == 8
    assert torch.equal(session.next_token_logits(QUESTION), expected.next_token_logits(QUESTION))


@pytest.mark.parametrize("ignored", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_signal_that_raises_nothing_does_not_wait(ignored):
    before = signal.signal(signal.SIGALRM, ignored)
    try:
        with Uninterrupted():
            assert signal.getsignal(signal.SIGALRM) == ignored
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_broke_a_memory_is_named_also_where_it_says_nothing():
    step = LastStep()
    with pytest.raises(RuntimeError), step:
        raise RuntimeError
    with pytest.raises(BrokenMemoryError, match="broken: RuntimeError came while"):
        step.check()


def test_ctrl_c_waits_until_a_question_is_forgotten(tiny, monkeypatch):
    memory = watched(tiny)._stream.memory
    mark = memory.cache.mark()

    class Pressing:
        def __getattr__(self, name: str):
            if name == "next_position":
                press_ctrl_c()
            return getattr(mark, name)

    with monkeypatch.context() as patched:
        patched.setattr(StreamCache, "mark", lambda _: Pressing())
        with pytest.raises(KeyboardInterrupt), memory.reading():
            memory.extend(tiny.embed([3, 4]))
    assert memory.cache.mark() == mark


def test_a_broken_memory_is_whole_again_once_all_is_forgotten(tiny):
    session = Session(tiny, choose_policy("hermes", None, 5000), chunk_frames=4)
    session.observe(frames_of(4))
    memory = session._stream.memory
    with suppress(RuntimeError), memory.cache.last_step:
        raise RuntimeError
    memory.forget_video()
    memory.cache.mark()
