"""What is recorded keeps what it reads, one at a time, and a failure leaves the CUDA stream as it was."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

from hermes_stream import load_model
from hermes_stream.stream.recording import Recording, RecordingPool
from hermes_stream.stream.vision_graphs import VisionGraphs
from hermes_stream.synthetic.world import generate_world

FIRST, SECOND = (torch.device("cuda", index) for index in range(2))
GRIDS = [(count, 4, 4) for count in range(1, 12)]


class FakeGpu:
    """Stands in for ``torch.cuda``: it has a current device and stream, and allows one capture at a time.

    Attributes:
        captured: device that was current, and stream, of every capture.
    """

    def __init__(self) -> None:
        self.current, self.num_captures, self.fails = "own", 0, False
        self.on, self.captured = torch.device("cuda", 0), list[tuple[torch.device, object]]()

    @contextmanager
    def stream(self, stream: object):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def device(self, device: torch.device):
        before, self.on = self.on, device
        try:
            yield
        finally:
            self.on = before

    def graph(
        self, graph: FakeGraph, *, pool: object, stream: object, capture_error_mode: str
    ) -> AbstractContextManager:
        assert (pool, capture_error_mode) == ("pool", "thread_local")
        self.captured.append((self.on, stream))
        return Capture(self, graph)


class FakeStream:
    """A CUDA stream of a device, which notes for whom it waits."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.waits_for = device, list[object]()

    def wait_stream(self, other: object) -> None:
        self.waits_for.append(other)


class Capture:
    """Goes on its own stream, and leaves it only where the capture can be ended, as ``torch.cuda.graph``."""

    def __init__(self, gpu: FakeGpu, graph: FakeGraph) -> None:
        self._gpu, self._graph = gpu, graph

    def __enter__(self) -> None:
        self._gpu.num_captures += 1
        assert self._gpu.num_captures == 1, "captures are concurrent"
        self._before, self._gpu.current = self._gpu.current, "capturing"

    def __exit__(self, *_: object) -> None:
        self._gpu.num_captures -= 1
        if self._gpu.fails:
            raise RuntimeError("the capture was invalidated")
        self._gpu.current = self._before


class FakeGraph:
    """Has nothing to do again: what stands in memory is what the work has made."""

    def replay(self) -> None:
        pass


@pytest.fixture
def gpu(monkeypatch) -> FakeGpu:
    gpu = FakeGpu()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", gpu.graph)
    monkeypatch.setattr(torch.cuda, "stream", gpu.stream)
    monkeypatch.setattr(torch.cuda, "device", gpu.device)
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: gpu.current)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    return gpu


@torch.inference_mode()
@pytest.mark.usefixtures("gpu")
def test_a_captured_tower_keeps_the_plan_that_it_reads():
    model = load_model("tiny-qwen")
    graphs, pixels = VisionGraphs(model), model.prepare(list(generate_world(1, 2).frames(1.0)))
    for _ in range(3):
        graphs.encode(pixels)
    assert list(graphs._graphs)
    plan = model._tower.plan(pixels.grid)
    read = {name: weakref.ref(plan[name]) for name in ("position_ids", "window_index")}
    del plan
    for grid in GRIDS:
        model._tower.plan(grid)
    gc.collect()
    assert pixels.grid not in model._tower._plans
    assert all(one() is not None for one in read.values())
    graphs._graphs.clear()
    gc.collect()
    assert not any(one() is not None for one in read.values())


@pytest.mark.usefixtures("gpu")
def test_what_the_work_makes_itself_is_not_kept():
    given, made = torch.ones(3), []

    def work() -> None:
        twice = given * 2
        made.append(weakref.ref(twice.untyped_storage()))
        given.add_(twice)

    recording = Recording(work, RecordingPool(FIRST))
    assert [one.data_ptr() for one in recording._read] == [given.data_ptr()]
    gc.collect()
    assert made[0]() is None


def test_a_capture_that_fails_leaves_the_stream_as_it_was(gpu):
    gpu.fails = True
    with pytest.raises(RuntimeError, match="invalidated"):
        Recording(lambda: None, RecordingPool(FIRST))
    assert gpu.current == "own"


def test_a_tower_that_cannot_be_captured_is_run_on_the_stream_that_it_was_on(gpu, caplog):
    model = load_model("tiny")
    graphs, pixels = VisionGraphs(model), model.prepare(list(generate_world(1, 2).frames(1.0)))
    gpu.fails, on = True, []
    for _ in range(4):
        found = graphs.encode(pixels)
        on.append(gpu.current)
    assert set(on) == {"own"}
    assert torch.equal(found.tokens, model.encode_in_parts(pixels).tokens)


def test_work_is_captured_on_the_device_of_its_model(gpu):
    pools = [RecordingPool(device) for device in (SECOND, FIRST, SECOND)]
    for pool in pools:
        Recording(lambda: None, pool)
        Recording(lambda: None, pool)
    assert gpu.captured == [(pool.device, pool.stream) for pool in pools for _ in range(2)]
    assert [pool.stream.device for pool in pools] == [SECOND, FIRST, SECOND]
    assert pools[0].stream is not pools[2].stream  # they may be replayed at the same time
    assert gpu.on == FIRST


def test_work_is_rehearsed_where_it_will_be_captured(gpu):
    pool, ran_on = RecordingPool(SECOND), []
    own = gpu.current = FakeStream(SECOND)
    pool.rehearse(lambda: ran_on.append(gpu.current), 2)
    assert ran_on == [pool.stream, pool.stream]
    assert pool.stream.waits_for == [own]
    assert own.waits_for == [pool.stream]
    assert gpu.current is own


def test_captures_of_several_threads_come_one_after_the_other(gpu):
    entered, is_free, failures = threading.Event(), threading.Event(), []

    def first() -> None:
        entered.set()
        assert is_free.wait(10)

    def record(work: Callable[[], None]) -> None:
        try:
            Recording(work, RecordingPool(FIRST))
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=record, args=(work,)) for work in (first, lambda: None)]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive()  # it waits for the first
    is_free.set()
    for one in threads:
        one.join(10)
    assert not failures
    assert gpu.num_captures == 0
