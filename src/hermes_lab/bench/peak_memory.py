"""The most memory that a piece of work takes beyond what was allocated before it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import torch
from torch._C import _autograd
from torch.profiler import ProfilerActivity, profile

from hermes_stream.masks import forget_masks

_ALLOCATION = "[memory]"


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
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recording:
        _autograd._enable_record_function(False)  # allocations alone: a tenth of the time and memory
        try:
            work()
        finally:
            _autograd._enable_record_function(True)
    assert recording.profiler is not None
    events = recording.profiler.kineto_results.events()
    sizes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == _ALLOCATION)
    return max(accumulate((size for _, size in sizes), initial=0))
