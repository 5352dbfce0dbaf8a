"""Count what a device would be asked to do: kernels, bytes and waits. The same on any machine without a GPU.

A GPU takes a few microseconds for each kernel, however small, and stands still where the host waits for a
value. A processor hides both, so they are counted where torch is called. A GPU takes other paths for a few
things (resizing, pooling, masks), and may run one operation as several kernels: those are not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

# They give memory, or another view of it, and compute nothing.
_NO_KERNEL = frozenset(
    {"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "detach", "detach_"}
    | {"lift_fresh", "_unsafe_view", "resize_", "set_", "_local_scalar_dense"}
)
# Their results are as large as their numbers say, so that the host must know these before it goes on.
_WAITING = frozenset(
    {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_consecutive"}
    | {"unique_dim", "bincount", "repeat_interleave"}
)
# One kernel on a GPU; a processor runs them as several.
_FUSED = frozenset({"rms_norm"})
_MOVING = frozenset({"to", "cpu", "cuda"})
_MAKING = frozenset({"tensor", "as_tensor", "from_numpy"})


class OperationCount:
    """Counts what happens while it is entered.

    What the device would hold follows from what it held at the beginning: results of it, and what is made or
    moved with a device named. On a processor all tensors have one device, so torch cannot tell.

    Args:
        on_device: tensors that the device holds.

    Attributes:
        kernels: launches, by the name of the operation.
        waits: times that the host waits for the device, by the name of what it calls.
        num_bytes: that kernels read and write; a tensor counts once for each kernel.
        names_device: whether the call that is under way says where its result is made.
    """

    def __init__(self, on_device: Iterable[Tensor]) -> None:
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.num_bytes = 0
        self.names_device = False
        self._on_device = WeakIdKeyDictionary()
        self._stack = ExitStack()
        self.put(on_device)

    @property
    def num_kernels(self) -> int:
        """All launches."""
        return self.kernels.total()

    @property
    def num_waits(self) -> int:
        """All waits."""
        return self.waits.total()

    def clear(self) -> None:
        """Count from 0 again; what the device holds stays known."""
        self.kernels.clear()
        self.waits.clear()
        self.num_bytes = 0

    def __enter__(self) -> Self:
        self._stack.enter_context(_Calls(self))
        self._stack.enter_context(_Operations(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def put(self, tensors: Iterable[Any]) -> None:
        """Take tensors for the device's."""
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                self._on_device[tensor] = True

    def has(self, values: Iterable[Any]) -> bool:
        """Tell whether the device holds one of these."""
        return any(isinstance(value, Tensor) and value in self._on_device for value in values)

    def add_kernel(self, name: str, tensors: Iterable[Any]) -> None:
        """Count a launch, and the bytes of what it reads and writes."""
        self.kernels[name] += 1
        self.num_bytes += sum(one.nbytes for one in tensors if isinstance(one, Tensor))


class _Operations(TorchDispatchMode):
    """Sees every operation as the device would get it."""

    def __init__(self, count: OperationCount) -> None:
        super().__init__()
        self._count = count

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        if name not in _FUSED:
            with self:  # in inference mode composite operations arrive whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        read, made, count = tree_leaves((args, kwargs)), tree_leaves(result), self._count
        if not (count.has(read) or (count.names_device and not _has_tensor(read))):
            return result
        count.put(made)
        if name in _WAITING or _has_mask(name, args):
            count.waits[name] += 1
        if name not in _NO_KERNEL and not func.is_view:
            count.add_kernel(name, [*read, *made])
        return result


class _Calls(TorchFunctionMode):
    """Sees what never becomes an operation on a processor: lists, and moves to the device that it is."""

    def __init__(self, count: OperationCount) -> None:
        super().__init__()
        self._count = count

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name, count = getattr(func, "__name__", ""), self._count
        before, count.names_device = count.names_device, kwargs.get("device") is not None
        try:
            result = func(*args, **kwargs)
        finally:
            count.names_device = before
        if name == "tolist" and count.has(args):
            count.waits[name] += 1
        elif name in _MAKING and kwargs.get("device") is not None:
            count.waits[f"{name} on the device"] += 1
            count.put([result])
        elif name in _MOVING and isinstance(result, Tensor):
            return self._moved(name, args, kwargs, result)
        return result

    def _moved(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Tensor) -> Tensor:
        """Count a move to or from the device; on a processor the tensor may be the same, so it is renamed."""
        count, targets = self._count, [*args[1:], *kwargs.values()]
        to_host = name == "cpu" or "cpu" in targets
        if not to_host and not any(isinstance(one, torch.device | Tensor) for one in targets):
            return result
        was_there, stays_async = count.has(args[:1]), bool(kwargs.get("non_blocking"))
        goes_there = not to_host and (count.has(targets) or not isinstance(targets[0], Tensor))
        if was_there == goes_there:
            return result
        if not stays_async:
            count.waits[f"{name} the {'device' if goes_there else 'host'}"] += 1
        # numpy knows no bfloat16; the bits are the same
        bits = result.view(torch.int16) if result.dtype == torch.bfloat16 else result
        moved = torch.from_numpy(bits.numpy()).view(result.dtype)
        if goes_there:
            count.put([moved])
        return moved


def _has_tensor(values: Iterable[Any]) -> bool:
    return any(isinstance(value, Tensor) for value in values)


def _has_mask(name: str, args: Sequence[Any]) -> bool:
    """Tell whether an operation picks by true and false, so that it must count first."""
    if name not in ("index", "index_put_", "index_put", "_index_put_impl_"):
        return False
    return any(isinstance(one, Tensor) and one.dtype == torch.bool for one in args[1] if one is not None)
