"""What stands in for ``torch.cuda`` where GPUs are simulated."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from typing import Any

import torch
from tests.simulated.device import SimulatedGpus
from tests.simulated.graphs import Graph, Pool
from tests.simulated.kernels import HALF
from tests.simulated.order import Event, Stream
from tests.simulated.tensors import GpuFault
from torch import Tensor
from torch.backends import cuda as backends
from torch.nn.attention.bias import CausalBias
from torch.utils._python_dispatch import _disable_current_modes


@contextmanager
def simulated_gpus(monkeypatch: Any, **how: Any) -> Iterator[SimulatedGpus]:
    """Let this thread have GPUs; ``how`` is of ``SimulatedGpus``."""
    gpus = SimulatedGpus(**how)
    for name, one in _driver(gpus).items():
        monkeypatch.setattr(torch.cuda, name, one)
    for name, serves in _SERVES.items():
        monkeypatch.setattr(backends, name, lambda params, debug=False, serves=serves: serves(params))
    monkeypatch.setattr(torch, "Generator", _Generator)
    monkeypatch.setattr(CausalBias, "__new__", _new_bias)
    # torch sends numbers of a list to a device in C++ that asks for a driver; and a module's weights likewise
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    _forget_caches()
    try:
        with gpus:
            yield gpus
    finally:
        _forget_caches()  # of tensors and kernels of GPUs that are gone
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def _forget_caches() -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "hermes_stream":
            for one in vars(module).values():
                if isinstance(one, _lru_cache_wrapper):
                    one.cache_clear()


_SERVES = {
    "can_use_flash_attention": lambda params: params.query.dtype in HALF,
    "can_use_cudnn_attention": lambda params: params.query.dtype in HALF,
    "can_use_efficient_attention": lambda params: params.query.shape[1] == params.key.shape[1],
}


class _Generator(torch.Generator):
    """Draws in host memory what a GPU's would draw."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls, device="cpu")


def _new_bias(cls: type[CausalBias], *_: Any) -> Any:
    with _disable_current_modes():  # of its own accord it cannot be made under one
        return Tensor.__new__(cls)


def _driver(gpus: SimulatedGpus) -> dict[str, Any]:
    """Return the functions and classes of ``torch.cuda`` that are used, by name."""

    def nothing(*_: Any) -> None: ...

    def num_bytes(*_: Any) -> int:
        return gpus.num_bytes

    @contextmanager
    def on_stream(stream: Stream) -> Iterator[None]:
        index, before = stream.device.index, gpus.on
        on, gpus.current[index], gpus.on = gpus.current[index], stream, index
        try:
            yield
        finally:
            gpus.current[index], gpus.on = on, before

    @contextmanager
    def on_device(device: Any) -> Iterator[None]:
        before, gpus.on = gpus.on, torch.device(device).index or 0
        try:
            yield
        finally:
            gpus.on = before

    def synchronize(*_: Any) -> None:
        for stream in gpus.streams:
            gpus.wait(stream, "synchronize")

    def set_sync_debug_mode(mode: str) -> None:
        gpus.when_waiting = mode

    @contextmanager
    def capture(graph: Graph, *, pool: Pool, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        synchronize()
        if stream.device.index != gpus.on:
            raise GpuFault(f"a capture on {stream.device} while cuda:{gpus.on} is current")
        graph.pool, graph.stream = pool, stream
        index, before, is_valid = stream.device.index, gpus.stream(stream.device), False
        gpus.current[index], gpus.graph = stream, graph
        try:
            yield
            is_valid = True
        finally:
            gpus.graph = None
            graph.end(is_valid=is_valid)
        gpus.current[index] = before  # where a capture fails, torch leaves its stream current

    return {
        "_lazy_init": nothing,
        "empty_cache": nothing,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: len(gpus.current),
        "current_device": lambda: gpus.on,
        "get_device_capability": lambda *_: gpus.capability,
        "get_device_name": lambda *_: "simulated",
        "mem_get_info": lambda *_: (2**36, 2**37),
        "memory_allocated": num_bytes,
        "synchronize": synchronize,
        "set_sync_debug_mode": set_sync_debug_mode,
        "current_stream": lambda device=None: gpus.stream(None if device is None else torch.device(device)),
        "stream": on_stream,
        "device": on_device,
        "Stream": Stream,
        "Event": Event,
        "graph": capture,
        "CUDAGraph": Graph,
        "graph_pool_handle": Pool,
    }
