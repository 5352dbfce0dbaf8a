"""What an executor does on a second CUDA stream is waited for, also where it fails; with stand-ins."""

from __future__ import annotations

import gc
import weakref
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from tests.checkpoints import random_frames

from hermes_stream.stream.executor import Executor, Failure, RunningWork, Unprepared
from hermes_stream.stream.work import EncodeRequest, ForwardRequest

FAILURE = RuntimeError("the tower fails")


class FakeStream:
    """Notes whom it waits for."""

    def __init__(self) -> None:
        self.waits_for: list[FakeStream] = []

    def wait_stream(self, other: FakeStream) -> None:
        self.waits_for.append(other)


class TwoStreams:
    """The streams of a GPU that has none: one that is current, and the executor's own."""

    def __init__(self, monkeypatch, executor: Executor) -> None:
        self.main, self.side = FakeStream(), FakeStream()
        self.current = self.main
        monkeypatch.setattr(executor, "_side_stream", self.side)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: self.current)
        monkeypatch.setattr(torch.cuda, "stream", self.on)

    @contextmanager
    def on(self, stream: FakeStream):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before


@pytest.fixture
def executor(model) -> Executor:
    return Executor(model)


def requests_of(model) -> list[EncodeRequest | ForwardRequest]:
    return [EncodeRequest.of(random_frames(2), model), ForwardRequest(segments=(), stage="prefill")]


@pytest.mark.parametrize("part", ["_encode", "_forward"])
def test_a_failure_beside_the_side_stream_is_waited_for(model, executor, monkeypatch, part):
    streams, on = TwoStreams(monkeypatch, executor), []

    def failing(requests):
        on.append(streams.current)
        raise FAILURE

    def passing(requests):
        return [None for _ in requests]

    for name in ("_encode", "_forward"):
        monkeypatch.setattr(executor, name, failing if name == part else passing)
    with pytest.raises(RuntimeError, match="the tower fails"):
        executor.serve(requests_of(model))
    assert on == [streams.side if part == "_encode" else streams.main]
    assert streams.current is streams.main
    assert streams.side.waits_for == [streams.main]
    assert streams.main.waits_for == [streams.side]  # what is freed of the failure may be written again


def test_what_failed_together_is_served_apart_behind_the_side_stream(model, executor, monkeypatch):
    streams = TwoStreams(monkeypatch, executor)

    def failing(requests):
        raise FAILURE

    monkeypatch.setattr(executor, "_encode", failing)
    monkeypatch.setattr(executor, "_forward", lambda requests: [None for _ in requests])
    encoded, read = executor.serve_apart(requests_of(model))
    assert encoded == Failure(FAILURE)
    assert read is None
    assert streams.current is streams.main
    assert set(streams.main.waits_for) == {streams.side}


def test_frames_that_cannot_be_prepared_fail_alone(model, executor, monkeypatch):
    """And at once: the others are still served together."""
    batches, encode = [], executor._encode
    monkeypatch.setattr(executor, "_encode", lambda batch: (batches.append(len(batch)), encode(batch))[1])
    good = [EncodeRequest.of(random_frames(2, seed=seed), model) for seed in range(3)]

    def refuse(frames):
        raise ValueError("no such frames")

    bad = [replace(good[0], prepare=refuse) for _ in range(2)]
    found = executor.serve_apart([bad[0], good[0], good[1], bad[1], good[2]])
    assert batches == [3]
    assert [isinstance(one, Failure) for one in found] == [True, False, False, True, False]
    assert all(str(found[k].error) == "no such frames" for k in (0, 3))
    with pytest.raises(Unprepared, match="no such frames"):
        executor.serve([bad[0]])


def test_work_is_closed_where_ctrl_c_comes_before_it_is_told_of_a_result(executor, monkeypatch):
    class Work:
        is_closed = False

        def __next__(self):
            return EncodeRequest.of([], executor.model)

        def send(self, result):
            raise KeyboardInterrupt

        def close(self):
            self.is_closed = True

    work = Work()
    running = RunningWork(executor, work)
    monkeypatch.setattr(executor, "serve", lambda requests: [None] * len(requests))
    assert running.step()
    with pytest.raises(KeyboardInterrupt):
        running.step()
    assert work.is_closed
    assert not running.step()


def test_pixels_are_made_when_a_request_is_served(model, executor):
    made, request = [], EncodeRequest.of(random_frames(3), model)

    def prepare(frames):
        made.append(model.prepare(frames))
        return made[-1]

    request = replace(request, prepare=prepare)
    assert (request.num_patches, made) == (3 // model.card.frames_per_temporal_patch, [])
    executor.serve([request])
    values = weakref.ref(made.pop().values)
    gc.collect()
    assert values() is None  # the request is still there
