"""The most memory that a piece of work takes beyond what was allocated before it, and what graphs keep."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch._C import _autograd
from torch.profiler import ProfilerActivity, profile

from hermes_stream.masks import forget_masks

_ALLOCATION = "[memory]"
_NO_GRAPH = (0, 0)


def measure_peak(device: torch.device, work: Callable[[], object]) -> int:
    """Return the peak of torch's own memory on a device while work runs, in bytes above its beginning.

    On a GPU the caching allocator tells it. On a CPU every allocation and release of torch's allocator is
    recorded, so that the same work gives the same number; what libraries allocate past torch is not seen.

    Args:
        device: where the work runs.
        work: called once.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    forget_masks()  # made again inside, whatever was measured before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as recording:
        _autograd._enable_record_function(False)  # allocations alone: a tenth of the time and memory
        try:
            work()
        finally:
            _autograd._enable_record_function(True)
    assert recording.profiler is not None
    events = recording.profiler.kineto_results.events()
    sizes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == _ALLOCATION)
    return max(accumulate((size for _, size in sizes), initial=0))


class GraphPools(NamedTuple):
    """What captured forwards keep of a GPU for themselves: nothing else is put there while they live.

    Attributes:
        reserved_bytes: in use or not.
        used_bytes: of them, those of tensors that live: torch counts them as allocated.
    """

    reserved_bytes: int
    used_bytes: int

    @property
    def free_bytes(self) -> int:
        """Return what no count of allocated bytes sees."""
        return self.reserved_bytes - self.used_bytes


def graph_pools(device: torch.device) -> GraphPools:
    """Return what the captured forwards of all models and streams of this process keep on a device.

    Pools of graphs that are gone are given back first.

    Args:
        device: nothing is captured but on a GPU.
    """
    if device.type != "cuda":
        return GraphPools(0, 0)
    gc.collect()
    torch.cuda.empty_cache()
    index = torch.cuda.current_device() if device.index is None else device.index
    return pools_among(one for one in torch.cuda.memory_snapshot() if one["device"] == index)


def pools_among(segments: Iterable[Mapping[str, Any]]) -> GraphPools:
    """Add up the segments of pools that belong to graphs.

    Args:
        segments: of one device, as ``torch.cuda.memory_snapshot`` lists them.
    """
    own = [one for one in segments if tuple(one.get("segment_pool_id", _NO_GRAPH)) != _NO_GRAPH]
    return GraphPools(sum(one["total_size"] for one in own), sum(one["allocated_size"] for one in own))
