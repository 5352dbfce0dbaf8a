"""What operations do on a simulated GPU, and what they may not do."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from tests.simulated.graphs import Graph, spoil
from tests.simulated.kernels import KERNELS
from tests.simulated.order import Memory, Stream, launch
from tests.simulated.tensors import GpuFault, GpuTensor
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

CPU = torch.device("cpu")
_WAITING = {
    *("_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique", "_unique2", "bincount"),
    *("unique_consecutive", "unique_dim_consecutive", "equal", "is_nonzero"),
}
_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
_UNWRITTEN = {"empty", "empty_strided", "new_empty", "empty_like", "new_empty_strided"}


class SimulatedGpus(TorchDispatchMode):
    """GPUs, for the thread that enters this.

    Args:
        count: of them.
        capability: compute capability.

    Attributes:
        running: the one that was entered.
        host: who asks for all work.
        streams: all CUDA streams.
        current: those of each GPU that work is asked of.
        on: the GPU that is current.
        graph: that work goes into; None where it is done.
        waits: why the host waited for a GPU, each time.
        num_kernels: operations that were launched one by one.
        num_replays: graphs that were replayed.
        num_bytes: of tensors that are alive.
        has_float64: as Apple's GPUs have not.
        faults: what was found where nothing could be raised.
    """

    running: SimulatedGpus

    def __init__(self, count: int = 1, capability: tuple[int, int] = (9, 0)) -> None:
        super().__init__()
        SimulatedGpus.running = self
        self.capability, self.on, self.when_waiting = capability, 0, "default"
        self.host, self.streams = Stream("cpu"), list[Stream]()
        self.current = [Stream(torch.device("cuda", k)) for k in range(count)]
        self.graph: Graph | None = None
        self.num_kernels = self.num_replays = self.num_bytes = 0
        self.has_float64 = True
        self.waits, self.faults = list[str](), list[str]()
        self._memory: dict[int, Memory] = {}

    def stream(self, device: torch.device | None = None) -> Stream:
        """Return the current stream of a GPU, or of the current one."""
        return self.current[self.on if device is None or device.index is None else device.index]

    def wait(self, stream: Stream, why: str) -> None:
        """Let the host wait for a stream."""
        if self.graph is not None:
            raise GpuFault(f"operation not permitted when stream is capturing: {why}")
        if self.when_waiting == "error":
            raise RuntimeError(f"called a synchronizing CUDA operation: {why}")
        if self.when_waiting == "warn":
            warnings.warn(f"called a synchronizing CUDA operation: {why}", stacklevel=2)
        self.waits.append(why)
        self.host.wait_stream(stream)

    def memory_of(self, one: GpuTensor) -> Memory:
        """Return what is known of the memory of a tensor, for that of graphs of their pool's."""
        if id(one.untyped_storage()) not in self._memory:  # made in an earlier simulation, and kept
            self.put(one.host, one.device)
        return self._memory[id(one.untyped_storage())]

    def put(self, host: Tensor, device: torch.device) -> GpuTensor:
        """Return host memory as that of a GPU."""
        storage = host.untyped_storage()
        if id(storage) not in self._memory:
            memory = self.graph.pool if self.graph else Memory(self.stream(device), storage.nbytes())
            self._memory[id(storage)] = memory
            self.num_bytes += storage.nbytes()
            weakref.finalize(storage, self._freed, id(storage), storage.nbytes()).atexit = False
        return GpuTensor(host, device)

    def _freed(self, key: int, nbytes: int) -> None:
        self.num_bytes -= nbytes
        if self._memory.pop(key).may_be_in_use(self.host):
            self.faults.append(f"{nbytes} bytes are given out again while another stream may use them")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        flat, spec = tree_flatten((args, kwargs or {}))
        name = func.overloadpacket._qualified_op_name.partition("::")[2]
        wanted = [one for one in flat if isinstance(one, torch.device) and one.type == "cuda"]
        mine = [one for one in flat if isinstance(one, GpuTensor)]
        if not mine and not wanted:
            return _on_host(func, name, args, kwargs or {})
        if name in ("_to_copy", "copy_"):
            return self._copy(func, args, kwargs or {})
        if name not in KERNELS and _is_made_of_others(func):
            with self:
                return func.decompose(*args, **kwargs or {})
        device = wanted[0] if wanted else next((one for one in mine if one.dim()), mine[0]).device
        device = device if device.index is not None else torch.device("cuda", self.on)
        self._check(name, flat, device)
        return self._do(func, name, flat, spec, device)

    def _check(self, name: str, flat: Sequence[Any], device: torch.device) -> None:
        """Refuse tensors of several devices, and wait where a GPU would be waited for."""
        stream = self.stream(device)
        for one in flat:
            if isinstance(one, Tensor) and one.device != device and (one.dim() or one.is_cuda):
                if one.is_cuda or name not in _INDEXED:
                    raise GpuFault(f"{name} expects all tensors on {device}, and one is on {one.device}")
                self.wait(stream, f"{name} by an index in host memory")
        others = [one for one in flat[1:] if isinstance(one, GpuTensor)]
        is_masked = name in _INDEXED and any(one.dtype == torch.bool for one in others)
        is_sized = any(isinstance(one, int) for one in flat[1:])
        if name in _WAITING or is_masked or (name == "repeat_interleave" and not is_sized):
            self.wait(stream, name)

    def _do(self, func: Any, name: str, flat: list[Any], spec: Any, device: torch.device) -> Any:
        mine, kernel = [one for one in flat if isinstance(one, GpuTensor)], KERNELS.get(name, func)
        is_work = not func.is_view and name not in _UNWRITTEN
        if is_work:
            self._launch(self.stream(device), mine, _written(func, *tree_unflatten(flat, spec)), name)
        hosts = [one.host if isinstance(one, GpuTensor) else one for one in flat]
        args, kwargs = tree_unflatten([CPU if isinstance(one, torch.device) else one for one in hosts], spec)
        with _disable_current_modes():
            made = kernel(*args, **kwargs)
        if name in _UNWRITTEN:
            spoil(made)
        if torch.Tag.inplace_view in func.tags:
            given_args, given_kwargs = tree_unflatten(flat, spec)
            with no_dispatch():
                func(*given_args, **given_kwargs)
        if self.graph is not None:
            self.graph.add(kernel, flat, spec, made)
        if func.is_view and not mine[0].is_inference():  # what it is a view of may be changed elsewhere
            with torch.inference_mode(False):
                return tree_map(lambda one: self.put(one, device), made)
        given = {id(one.host): one for one in mine}

        def placed(one: Any) -> Any:
            if not isinstance(one, Tensor):
                return one
            return given[id(one)] if id(one) in given else self._made(one, device, is_work=is_work)

        return tree_map(placed, made)

    def _made(self, host: Tensor, device: torch.device, *, is_work: bool) -> GpuTensor:
        if host.dtype == torch.float64 and not self.has_float64:
            raise GpuFault("a tensor of float64, which this device does not have")
        found = self.put(host, device)
        memory, stream = self.memory_of(found), self.stream(device)
        if is_work and self.graph is None and memory.written is None:
            memory.written = (stream, stream.time)
        return found

    def _launch(
        self, stream: Stream, reads: Sequence[GpuTensor], writes: Sequence[GpuTensor], what: str
    ) -> None:
        if self.graph is None:
            self.num_kernels += 1
            stream.wait_stream(self.host)
            launch(stream, *([self.memory_of(one) for one in some] for some in (reads, writes)), what)
            return
        if stream is not self.graph.stream:
            raise GpuFault(f"{what} goes to another stream than the one that is captured")
        for kept, some in ((self.graph.read, reads), (self.graph.written, writes)):
            for one in some:
                if (key := id(one.untyped_storage())) not in self.graph.made:
                    kept[key] = self.memory_of(one)
        for one in writes:
            self.graph.save(one.host)

    def _copy(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Copy within a GPU, from one to another, or between it and the host."""
        to, source = args[:2] if len(args) > 1 else (None, args[0])
        how = {
            name: one for name, one in kwargs.items() if name not in ("device", "non_blocking", "pin_memory")
        }
        goes_on = kwargs.get("non_blocking", False) or bool(args[2:3] and args[2])
        device = to.device if to is not None else torch.device(kwargs.get("device") or source.device)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", self.on)
        stream = self.stream(device if device.type == "cuda" else source.device)
        reads, writes = ([one] if isinstance(one, GpuTensor) else [] for one in (source, to))
        others = [self.stream(one) for one in (source.device, device) if one.type == "cuda"]
        for other in others:  # from one GPU to another: both wait for each other, before and behind
            stream.wait_stream(other)
        self._launch(stream, reads, writes, "a copy")
        for other in others:
            other.wait_stream(stream)
        if device.type != source.device.type:
            self._wait_for_copy(stream, source, device, goes_on=goes_on)
        given = source.host if isinstance(source, GpuTensor) else source
        put = to.host if isinstance(to, GpuTensor) else to
        with _disable_current_modes():
            made = func(given, **how) if to is None else put.copy_(given)
        if self.graph is not None:
            kernel = (lambda one: func(one, **how)) if to is None else Tensor.copy_
            flat, spec = tree_flatten(((source,) if to is None else (to, source), {}))
            self.graph.add(kernel, flat, spec, made)
        if to is not None:
            return to
        return self._made(made, device, is_work=True) if device.type == "cuda" else made

    def _wait_for_copy(self, stream: Stream, source: Tensor, device: torch.device, *, goes_on: bool) -> None:
        if not goes_on:
            self.wait(stream, f"a copy of {tuple(source.shape)} from {source.device} to {device}")
        elif device == CPU:
            self.faults.append("the host may read a copy before it is there")
        elif self.graph is not None and not is_pinned(source):
            raise GpuFault("operation not permitted when stream is capturing: a copy of pageable memory")


def is_pinned(host: Tensor, *_: Any) -> bool:
    """Tell whether host memory is page-locked, as far as anybody asked for it."""
    return getattr(host.untyped_storage(), "is_page_locked", False)


def _on_host(func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """Do what is not of a GPU; there is page-locked memory even so."""
    if name == "is_pinned":
        return is_pinned(args[0])
    if name not in ("pin_memory", "_pin_memory") and not kwargs.get("pin_memory", False):
        return func(*args, **kwargs)
    made = args[0].clone() if "pin" in name else func(*args, **kwargs | {"pin_memory": False})
    made.untyped_storage().is_page_locked = True
    return made


@cache
def _is_made_of_others(func: Any) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def _written(func: Any, args: Any, kwargs: Any) -> list[GpuTensor]:
    """Return which tensors an operation changes."""
    found = list[GpuTensor]()
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(argument.name)
            found += [one for one in tree_leaves(given) if isinstance(one, GpuTensor)]
    return found
