"""What an executor does on a second CUDA stream is waited for, also where it fails; with stand-ins."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from tests.checkpoints import random_frames

from hermes_stream.stream.executor import Executor, Failure
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
    pixels = model.prepare(random_frames(2))
    return [EncodeRequest(pixels=pixels), ForwardRequest(segments=(), stage="prefill")]


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
