"""Tensors that say they are on a GPU; their numbers are in host memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


class GpuFault(RuntimeError):
    """What a real GPU would refuse, or answer wrongly to; it is noted, for who fails may be served again."""

    def __init__(self, what: str) -> None:
        from tests.simulated.device import SimulatedGpus

        super().__init__(what)
        SimulatedGpus.running.faults.append(what)


class GpuTensor(Tensor):
    """A tensor on a simulated GPU.

    Methods that torch does in C++ of its own, which asks for a driver, are written with operations here.

    Args:
        host: its numbers.
        device: the GPU.
    """

    @staticmethod
    def __new__(cls, host: Tensor, device: torch.device) -> GpuTensor:
        made = Tensor._make_wrapper_subclass(
            *(cls, host.size()),
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device=device,
        )
        made.host = host
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise GpuFault(f"{func} where no GPU is simulated")

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.host.untyped_storage()

    def contiguous(self, memory_format: Any = torch.contiguous_format) -> Tensor:
        is_so = self.is_contiguous(memory_format=memory_format)
        return self if is_so else self.clone(memory_format=memory_format)

    def copy_(self, source: Tensor, non_blocking: bool = False) -> Tensor:
        return aten.copy_.default(self, source, non_blocking)

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        found = aten.nonzero.default(self)
        return found.unbind(1) if as_tuple else found

    def item(self) -> Any:
        return aten._local_scalar_dense.default(self)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def record_stream(self, stream: Any) -> None:
        from tests.simulated.device import SimulatedGpus

        SimulatedGpus.running.memory_of(self).kept_for.add(stream)

    def __invert__(self) -> Tensor:
        return torch.bitwise_not(self)

    def __int__(self) -> int:
        return int(self.item())

    __index__ = __int__

    def __float__(self) -> float:
        return float(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __getitem__(self, index: Any) -> Tensor:
        view, tensors = _indexed(self, index)
        return view if tensors is None else aten.index.Tensor(view, tensors)

    def __setitem__(self, index: Any, value: Any) -> None:
        view, tensors = _indexed(self, index)
        if tensors is not None:
            is_there = isinstance(value, Tensor)
            value = value if is_there else torch.full((), value, dtype=view.dtype, device=view.device)
            aten.index_put_.default(view, tensors, value)
        elif isinstance(value, Tensor):
            view.copy_(value)
        else:
            view.fill_(value)


def _indexed(view: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None] | None]:
    """Apply what of an index is a view; return it with the index's tensors, dimension by dimension."""
    parts = list(index) if isinstance(index, tuple) else [index]
    parts = [torch.tensor(one) if isinstance(one, list) else one for one in parts]
    if not any(one is Ellipsis for one in parts):
        parts.append(Ellipsis)
    where = next(k for k, one in enumerate(parts) if one is Ellipsis)
    parts[where : where + 1] = [slice(None)] * (view.dim() - sum(map(_num_dims, parts)))
    dim, tensors = 0, dict[int, Tensor]()
    for one in parts:
        if one is None:
            view, dim = view.unsqueeze(dim), dim + 1
        elif isinstance(one, slice):
            start, stop, step = one.indices(view.shape[dim])
            if (start, stop, step) != (0, view.shape[dim], 1):
                view = aten.slice.Tensor(view, dim, start, max(start, stop), step)
            dim += 1
        elif isinstance(one, Tensor) and (one.dim() or one.dtype == torch.bool):
            tensors[dim], dim = one, dim + _num_dims(one)
        else:
            view = view.select(dim, int(one))
    return view, [tensors.get(k) for k in range(max(tensors) + 1)] if tensors else None


def _num_dims(part: Any) -> int:
    """Return how many dimensions a part of an index is of."""
    if part is None or part is Ellipsis:
        return 0
    return part.dim() if isinstance(part, Tensor) and part.dtype == torch.bool else 1
