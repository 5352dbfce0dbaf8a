"""What a GPU is asked for, recorded once as a CUDA graph that keeps alive what it reads."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_capturing = Lock()  # torch allows one capture at a time in a process, whichever model or thread it is of


@final
class RecordingPool:
    """What recordings share that are never replayed at the same time: memory, and a CUDA stream.

    Products of matrices have a workspace for each CUDA stream, 32 MiB on a Hopper GPU by torch's own default.
    So recordings of one pool share it, and those of two, which may be replayed side by side, do not.

    Args:
        device: the GPU that the work is for, whichever is current.

    Attributes:
        device: the GPU.
        handle: of the memory.
        stream: where work is tried and recorded.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.handle: Any = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream(device)

    def rehearse(self, work: Callable[[], None], times: int) -> None:
        """Do work that is to be recorded, so that all it needs is set up; behind what was asked for before.

        Args:
            work: launches what will be recorded.
            times: how often.
        """
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            for _ in range(times):
                work()
        current.wait_stream(self.stream)


@final
class Recording:
    """Work that a GPU repeats without being asked for each of its operations.

    Args:
        work: launches what is recorded, without doing it; was done before, so that all it needs is set up.
        pool: of recordings that are not replayed at the same time.

    Raises:
        RuntimeError: the device cannot capture the work; the CUDA stream is the one that it was.
    """

    def __init__(self, work: Callable[[], None], pool: RecordingPool) -> None:
        self._graph, reads = torch.cuda.CUDAGraph(), _Reads()
        # Where a capture cannot be ended, torch leaves its stream current: the outer block goes back.
        with (
            _capturing,
            torch.cuda.device(pool.device),  # torch captures on the one that is current, or was first
            torch.cuda.stream(torch.cuda.current_stream(pool.device)),
            # Threads that decode video may ask the driver for memory meanwhile: that is no fault of this one.
            torch.cuda.graph(
                self._graph, pool=pool.handle, stream=pool.stream, capture_error_mode="thread_local"
            ),
            reads,
        ):
            work()
        self._read = list(reads.read.values())

    def replay(self) -> None:
        """Do the work again, on what stands in the memory that it read when it was recorded."""
        self._graph.replay()


class _Reads(TorchDispatchMode):
    """Notes what operations read and did not make themselves; a graph knows only where that lies.

    Attributes:
        read: by its address, so that it lives on where a cache lets go of it.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[int, Tensor] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for one in _tensors((args, kwargs)):
            if (address := one.untyped_storage().data_ptr()) not in self._made:
                self.read.setdefault(address, one)
        made = func(*args, **(kwargs or {}))
        # what is made lies in the pool, where it may be written again: it is not kept
        self._made.update(one.untyped_storage().data_ptr() for one in _tensors(made))
        self._made.difference_update(self.read)
        return made


def _tensors(values: Any) -> list[Tensor]:
    return [one for one in tree_leaves(values) if isinstance(one, Tensor)]
