"""What is recorded keeps what it reads, one at a time, and a failure leaves the CUDA stream as it was."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import contextmanager

import pytest
import torch
from tests.simulated.driver import simulated_gpus

from hermes_stream import load_model
from hermes_stream.stream.recording import Recording, RecordingPool
from hermes_stream.stream.vision_graphs import VisionGraphs
from hermes_stream.synthetic.world import generate_world

FIRST, SECOND = (torch.device("cuda", index) for index in range(2))
GRIDS = [(count, 4, 4) for count in range(1, 12)]


@pytest.fixture
def gpus(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is a real GPU")
    with torch.inference_mode(), simulated_gpus(monkeypatch, count=2) as gpus:
        yield gpus


def test_a_captured_tower_keeps_the_plan_that_it_reads(gpus):
    model = load_model("tiny-qwen", device="cuda:0")
    graphs, pixels = VisionGraphs(model), model.prepare(list(generate_world(1, 2).frames(1.0)))
    expected = model.encode_in_parts(pixels).tokens.cpu()
    for _ in range(3):
        graphs.encode(pixels)
    plan = model._tower.plan(pixels.grid)
    read = {name: weakref.ref(plan[name]) for name in ("position_ids", "window_index")}
    del plan
    for grid in GRIDS:
        model._tower.plan(grid)
    gc.collect()
    assert all(one() is not None for one in read.values())
    made_again = model._tower.plan(pixels.grid)
    assert made_again["position_ids"] is not read["position_ids"]()
    torch.testing.assert_close(graphs.encode(pixels).tokens.cpu(), expected, rtol=1e-4, atol=1e-4)
    assert gpus.num_replays == 2
    graphs._graphs.clear()
    gc.collect()
    assert not any(one() is not None for one in read.values())


@pytest.mark.usefixtures("gpus")
def test_what_the_work_makes_itself_is_not_kept():
    given, made = torch.ones(3, device=FIRST), []

    def work() -> None:
        twice = given * 2
        made.append(weakref.ref(twice))
        given.add_(twice)

    recording = Recording(work, RecordingPool(FIRST))
    assert [one.untyped_storage() for one in recording._read] == [given.untyped_storage()]
    assert made[0]() is None
    recording.replay()
    assert given.tolist() == [3.0] * 3


def test_a_capture_that_fails_leaves_the_stream_as_it_was(gpus):
    own = gpus.stream(FIRST)
    with pytest.raises(RuntimeError, match="capturing"):
        Recording(torch.ones(1, device=FIRST).item, RecordingPool(FIRST))
    assert gpus.stream(FIRST) is own


def test_a_tower_that_cannot_be_captured_is_run_on_the_stream_that_it_was_on(gpus, monkeypatch):
    model = load_model("tiny", device="cuda:0")
    graphs, pixels = VisionGraphs(model), model.prepare(list(generate_world(1, 2).frames(1.0)))
    own, on, encode = gpus.stream(FIRST), [], model.encode

    def waiting(part):
        on.append(gpus.stream(FIRST))
        features = encode(part)
        features.tokens.sum().item()
        return features

    monkeypatch.setattr(model, "encode", waiting)
    for _ in range(4):
        found = graphs.encode(pixels)
    assert [one is own for one in on] == [True, True, False, True, True]
    assert torch.equal(found.tokens.cpu(), model.encode_in_parts(pixels).tokens.cpu())


def test_work_is_captured_on_the_device_of_its_model(gpus):
    pools, on = [RecordingPool(device) for device in (SECOND, FIRST, SECOND)], []
    for pool in pools:
        for _ in range(2):
            Recording(lambda pool=pool: on.append((pool, gpus.on, gpus.stream(pool.device))), pool)
    assert on == [(pool, pool.device.index, pool.stream) for pool in pools for _ in range(2)]
    assert [pool.stream.device for pool in pools] == [SECOND, FIRST, SECOND]
    assert pools[0].stream is not pools[2].stream  # they may be replayed at the same time
    assert gpus.on == 0


def test_work_is_rehearsed_where_it_will_be_captured(gpus):
    pool, ran_on, own = RecordingPool(SECOND), [], gpus.stream(SECOND)
    given = torch.ones(1, device=SECOND)

    def work() -> None:
        ran_on.append(gpus.stream(SECOND))
        given.mul_(2)

    pool.rehearse(work, 2)
    assert ran_on == [pool.stream, pool.stream]
    assert gpus.stream(SECOND) is own
    assert (given + 1).tolist() == [5.0]  # either waited for the other


def test_captures_of_several_threads_come_one_after_the_other(gpus, monkeypatch):
    entered, is_free, failures, capturing = threading.Event(), threading.Event(), [], []

    @contextmanager
    def capture(*_, **__):
        failures.extend(capturing)
        capturing.append("captures are concurrent")
        yield
        capturing.clear()

    monkeypatch.setattr(torch.cuda, "graph", capture)

    def first() -> None:
        entered.set()
        assert is_free.wait(10)

    threads = [
        threading.Thread(target=Recording, args=(work, RecordingPool(FIRST)))
        for work in (first, lambda: None)
    ]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive()  # it waits for the first
    is_free.set()
    for one in threads:
        one.join(10)
    assert (failures, capturing) == ([], [])
