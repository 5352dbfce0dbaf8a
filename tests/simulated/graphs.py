"""Captured work: operations in order, done again on what then stands in the memory that they read."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from tests.simulated.order import Memory, launch
from tests.simulated.tensors import GpuFault, GpuTensor
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_unflatten


class Pool(Memory):
    """Memory of graphs that are replayed one at a time, as one piece.

    Attributes:
        graphs: in the order in which they were captured, as far as they are alive.
    """

    def __init__(self) -> None:
        super().__init__(None, 0)
        self.graphs: list[weakref.ref[Graph]] = []


class Graph:
    """Stands in for ``torch.cuda.CUDAGraph``.

    Attributes:
        pool: where it makes what it makes.
        stream: that it was captured on.
        made: memory that is its own, by the storage's id.
        read: other memory that it reads.
        written: other memory that it writes.
    """

    def __init__(self, **_: Any) -> None:
        self.pool, self.stream = Pool(), None
        self.made, self.read, self.written = dict[int, Tensor](), dict[int, Memory](), dict[int, Memory]()
        self._steps: list[_Step] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def add(self, kernel: Any, flat: list[Any], spec: Any, made: Any) -> None:
        """Note an operation.

        Args:
            kernel: what computes it, in host memory.
            flat: its arguments, those on a GPU as ``GpuTensor``.
            spec: how they belong together.
            made: its results, in host memory.
        """
        given = {id(one.untyped_storage()) for one in flat if isinstance(one, Tensor)}
        new = [
            one if isinstance(one, Tensor) and id(one.untyped_storage()) not in given else None
            for one in tree_leaves(made)
        ]
        self._steps.append(_Step(kernel, [self._found_again(one) for one in flat], spec, new))
        self.made |= {id(one.untyped_storage()): one for one in new if one is not None}

    def _found_again(self, given: Any) -> Any:
        if isinstance(given, torch.device):
            return torch.device("cpu")
        if not isinstance(given, Tensor):
            return given
        if not isinstance(given, GpuTensor) and not given.dim():
            return given.clone()  # a number of the host is part of what was asked for
        host = given.host if isinstance(given, GpuTensor) else given
        return host if id(host.untyped_storage()) in self.made else _Elsewhere(host)

    def save(self, host: Tensor) -> None:
        """Remember what stands where the capture writes: a capture does nothing."""
        storage = host.untyped_storage()
        if id(storage) not in self.made and id(storage) not in self._before:
            with _disable_current_modes():
                whole = _whole(host)
                self._before[id(storage)] = (whole, whole.clone())

    def end(self, *, is_valid: bool) -> None:
        """Take back what the capture did."""
        with _disable_current_modes():
            for whole, before in self._before.values():
                whole.copy_(before)
        self._before.clear()
        self.spoil()
        if is_valid:
            self.pool.graphs.append(weakref.ref(self))

    def replay(self) -> None:
        from tests.simulated.device import SimulatedGpus

        gpus = SimulatedGpus.running
        graphs = [one() for one in self.pool.graphs]
        if self not in graphs:
            raise GpuFault("a graph that was not captured is replayed")
        for later in graphs[graphs.index(self) + 1 :]:
            if later is not None:
                later.spoil()
        gpus.num_replays += 1
        on = gpus.stream(self.stream.device)
        on.wait_stream(gpus.host)
        launch(on, [self.pool, *self.read.values()], [self.pool, *self.written.values()], "a graph")
        with _disable_current_modes():
            for step in self._steps:
                step.run()

    def spoil(self) -> None:
        """Let others of the pool have written where this one's results lie."""
        for host in self.made.values():
            spoil(host)


class _Step:
    """An operation of a graph; where it changes what it is given, it makes nothing new."""

    def __init__(self, kernel: Any, flat: list[Any], spec: Any, made: list[Tensor | None]) -> None:
        self._kernel, self._flat, self._spec, self._made = kernel, flat, spec, made

    def run(self) -> None:
        flat = [one.found() if isinstance(one, _Elsewhere) else one for one in self._flat]
        args, kwargs = tree_unflatten(flat, self._spec)
        for old, new in zip(self._made, tree_leaves(self._kernel(*args, **kwargs)), strict=True):
            if old is not None:
                old.copy_(new)


class _Elsewhere:
    """How to find again what a graph reads and did not make: it does not keep it."""

    def __init__(self, host: Tensor) -> None:
        self._storage = weakref.ref(host.untyped_storage())
        self._dtype, self._place = host.dtype, (host.storage_offset(), host.size(), host.stride())

    def found(self) -> Tensor:
        if (storage := self._storage()) is None:
            raise GpuFault("a graph reads memory that was freed")
        return torch.empty(0, dtype=self._dtype).set_(storage, *self._place)


def spoil(host: Tensor) -> None:
    """Write NaN over memory that may hold anything."""
    if host.dtype.is_floating_point:
        with _disable_current_modes():
            _whole(host).fill_(torch.nan)


def _whole(host: Tensor) -> Tensor:
    return torch.empty(0, dtype=host.dtype).set_(host.untyped_storage())
