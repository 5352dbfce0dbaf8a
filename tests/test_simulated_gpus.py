"""What a simulated GPU refuses is what a real one would, so that tests on it can fail."""

from __future__ import annotations

import gc

import pytest
import torch
from tests.checkpoints import random_frames
from tests.simulated.driver import simulated_gpus
from tests.simulated.kernels import efficient, flash, packed
from tests.simulated.order import Stream
from tests.simulated.tensors import GpuFault

from hermes_stream import Engine, HermesPolicy, load_model
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.recording import Recording, RecordingPool

FIRST, SECOND = (torch.device("cuda", k) for k in range(2))
NEEDS = torch.arange(24.0).view(2, 3, 4)

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real GPU")


@pytest.fixture
def gpus(monkeypatch):
    with torch.inference_mode(), simulated_gpus(monkeypatch, count=2) as gpus:
        yield gpus


@pytest.mark.parametrize(
    "index",
    [
        *(0, slice(1, None), slice(0, 2, 2), (0, 1), (slice(None), None, -1), (..., 2), [1, 0], None, ...),
        *((slice(None), torch.tensor([2, 0])), torch.tensor([True, False]), (1, slice(1, 1))),
        *((torch.tensor([1, 0]), slice(None), torch.tensor([3, 3])), (0, ..., torch.tensor([1]))),
    ],
    ids=str,
)
@pytest.mark.usefixtures("gpus")
def test_parts_are_taken_and_set_as_ever(index):
    there, expected = NEEDS.to(FIRST), NEEDS.clone()
    assert there[index].device == FIRST
    torch.testing.assert_close(there[index].cpu(), expected[index])
    there[index], expected[index] = 7, 7
    torch.testing.assert_close(there.cpu(), expected)


def test_devices_do_not_mix(gpus):
    first, second = torch.ones(3, device=FIRST), torch.ones(3, device=SECOND)
    for other in (second, torch.ones(3)):
        with pytest.raises(GpuFault, match="expects all tensors on cuda:0"):
            first + other
    assert (first + torch.tensor(2.0)).tolist() == [3.0] * 3  # a number may come from the host
    assert (second.to(FIRST) + first).device == FIRST
    assert len(gpus.faults) == 2


@pytest.mark.usefixtures("gpus")
def test_memory_that_nobody_wrote_is_no_number():
    assert torch.empty(3, device=FIRST).isnan().all()
    assert not torch.zeros(3, device=FIRST).isnan().any()


def test_another_stream_must_be_waited_for(gpus):
    made, side = torch.zeros(3, device=FIRST), Stream(FIRST)
    with torch.cuda.stream(side), pytest.raises(GpuFault, match="may not have written"):
        made + 1
    side.wait_stream(torch.cuda.current_stream(FIRST))
    with torch.cuda.stream(side):
        later = made + 1
    with pytest.raises(GpuFault, match="may still read"):
        made.zero_()
    with pytest.raises(GpuFault, match="may not have written"):
        later + 1
    torch.cuda.current_stream(FIRST).wait_stream(side)
    assert made.zero_().add(later).tolist() == [1.0] * 3
    assert len(gpus.faults) == 3


@pytest.mark.parametrize("keeps", ["nothing", "record_stream", "wait_stream", "the host waits"])
def test_memory_is_not_given_out_while_it_may_be_read(gpus, keeps):
    made, side = torch.zeros(3, device=FIRST), Stream(FIRST)
    side.wait_stream(torch.cuda.current_stream(FIRST))
    with torch.cuda.stream(side):
        made + 1
    if keeps == "record_stream":
        made.record_stream(side)
    if keeps == "wait_stream":
        torch.cuda.current_stream(FIRST).wait_stream(side)
    if keeps == "the host waits":
        side.synchronize()
    del made
    gc.collect()
    assert len(gpus.faults) == (keeps == "nothing")


@pytest.mark.parametrize(
    "waits",
    [
        *(lambda one: one[0].item(), lambda one: one.cpu(), lambda one: one.tolist()),
        *(lambda one: one.nonzero(), lambda one: bool(one[0] > 0)),
        *(lambda one: one[one > 0], lambda one: one[torch.tensor([0])]),
        *(lambda one: torch.ones(2).to(one.device), lambda one: one.repeat_interleave(one.long())),
    ],
)
def test_the_host_is_seen_to_wait(gpus, waits):
    one, before = torch.ones(3, device=FIRST), len(gpus.waits)
    waits(one)
    assert len(gpus.waits) > before
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(RuntimeError, match="synchronizing"):
        waits(one)
    torch.cuda.set_sync_debug_mode("default")
    with pytest.raises(GpuFault, match="capturing"):
        Recording(lambda: waits(one), RecordingPool(FIRST))


def test_what_is_sent_ahead_is_not_waited_for(gpus):
    pinned, before = torch.ones(3).pin_memory(), len(gpus.waits)
    assert pinned.is_pinned()
    assert not torch.ones(3).is_pinned()
    there = pinned.to(FIRST, non_blocking=True)
    assert (len(gpus.waits), there.device) == (before, FIRST)


class Doubled:
    """Work that doubles a number."""

    def __init__(self) -> None:
        self.given, self.made = torch.ones(1, device=FIRST), None

    def __call__(self) -> None:
        self.made = self.given * 2


@pytest.mark.usefixtures("gpus")
def test_a_graph_does_again_what_was_captured():
    work, total = Doubled(), torch.zeros(1, device=FIRST)

    def both() -> None:
        work()
        total.add_(work.made)

    recording = Recording(both, RecordingPool(FIRST))
    assert total.item() == 0  # a capture does nothing
    assert work.made.isnan()
    for number in (3.0, 5.0):
        work.given.fill_(number)
        recording.replay()
        assert work.made.item() == 2 * number
    assert total.item() == 16


@pytest.mark.usefixtures("gpus")
def test_graphs_of_a_pool_write_over_each_other():
    pool, works = RecordingPool(FIRST), [Doubled(), Doubled()]
    first, second = (Recording(work, pool) for work in works)
    second.replay()
    kept = works[1].made.clone()
    first.replay()
    assert works[1].made.isnan()
    assert (kept.item(), works[0].made.item()) == (2, 2)
    second.replay()
    assert works[0].made.item() == 2  # it was there when the second was captured


def test_a_graph_does_not_keep_what_it_reads(gpus):
    work = Doubled()
    recording = Recording(work, RecordingPool(FIRST))
    recording._read.clear()
    del work.given
    gc.collect()
    with pytest.raises(GpuFault, match="was freed"):
        recording.replay()
    assert len(gpus.faults) == 1


def test_kernels_refuse_what_they_do_not_take():
    half = torch.ones(1, 4, 6, 16, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match=r"float32"):
        flash(half.float(), half.float(), half.float())
    with pytest.raises(RuntimeError, match="12 wide"):
        flash(half[..., :12], half[..., :12], half[..., :12])
    with pytest.raises(RuntimeError, match="shared"):
        efficient(half.transpose(1, 2), *2 * (half[:, :2].transpose(1, 2),), *5 * (None,), 0.0, 0)
    ends, short = torch.tensor([0, 6], dtype=torch.int32), half[0].transpose(0, 1)
    with pytest.raises(RuntimeError, match="6 tokens"):
        packed(short, short, short, ends, ends, 5, 6)
    with pytest.raises(RuntimeError, match="other numbers"):
        packed(short, short, short, ends.long(), ends.long(), 6, 6)


@pytest.mark.parametrize("name", ["_rejoin", "wait_stream", None])
def test_an_engine_that_does_not_wait_is_found_out(gpus, monkeypatch, name):
    if name == "_rejoin":
        monkeypatch.setattr(Executor, name, lambda *_: None)
    if name == "wait_stream":
        own = Stream.wait_stream
        monkeypatch.setattr(
            Stream, name, lambda one, other: own(one, other) if gpus.host in (one, other) else None
        )
    engine = Engine(load_model("tiny", device="cuda:0"), streams_per_block=1)
    handles = [engine.add(HermesPolicy.best(40)) for _ in range(2)]
    for k, handle in enumerate(handles):
        handle.observe(random_frames(17 + 16 * k, seed=k))
    engine.run()
    assert bool(gpus.faults) == (name is not None)
