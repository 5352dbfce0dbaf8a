"""The device that a model's weights go to, and their dtype."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

import torch

from hermes_stream.errors import DeviceError

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WEIGHTS = ("auto", "int8")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")

_BFLOAT16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # x86, then ARM

DeviceMap = str | Mapping[str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where weights go, and as what.

    Attributes:
        device: the device, or the first one where a map spreads the layers.
        device_map: transformers' map over several devices; None puts everything on ``device``.
        weights: "auto" keeps them as the checkpoint stores them, "int8" quantises them while they are read.
    """

    device: torch.device
    device_map: str | dict[str, int | str] | None = None
    weights: str = "auto"


def choose_placement(device: str, device_map: DeviceMap | None, weights: str = "auto") -> Placement:
    """Return where weights go, checked before anything is read.

    Raises:
        ValueError: a device and a device map are both given, or there is no such map.
        DeviceError: there is no such device or kind of weights here, or accelerate or torchao is missing.
    """
    if weights not in WEIGHTS:
        raise DeviceError(f"weights {weights!r} are not supported; choose one of: {', '.join(WEIGHTS)}")
    if weights == "int8" and not is_installed("torchao"):
        raise DeviceError(
            "weights 'int8' need torchao, which is not installed; pip install 'hermes-stream[quantised]'"
        )
    if device_map is None:
        return Placement(device=choose_device(device), weights=weights)
    if device != "auto":
        raise ValueError(
            f"device {device!r} and device_map {device_map!r} exclude each other; give one of them"
        )
    if isinstance(device_map, str) and device_map not in DEVICE_MAPS:
        raise ValueError(
            f"device_map {device_map!r} is none of {', '.join(DEVICE_MAPS)}, nor a dict from module to "
            f"device; for a single device give device={device_map!r}"
        )
    if not is_installed("accelerate"):
        raise DeviceError(
            f"device_map {device_map!r} needs accelerate, which is not installed; "
            f"pip install 'hermes-stream[multi-gpu]'"
        )
    spread = device_map if isinstance(device_map, str) else dict(device_map)
    return Placement(device=choose_device("auto"), device_map=spread, weights=weights)


def choose_device(device: str) -> torch.device:
    """Return the device asked for; "auto" takes the fastest there is.

    Raises:
        DeviceError: there is no such device here.
    """
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if has_mps else "cpu")
    available = [
        "cpu",
        *(f"cuda:{i}" for i in range(torch.cuda.device_count())),
        *(["mps"] if has_mps else []),
    ]
    named = "cuda:0" if device == "cuda" else device
    if named not in available:
        raise DeviceError(f"device {device!r} is not available; this machine has: {', '.join(available)}")
    return torch.device(named)


def choose_dtype(dtype: str, device: torch.device, stored: torch.dtype | str | None) -> torch.dtype:
    """Return the dtype asked for; "auto" takes the checkpoint's, but on a CPU never float16.

    Raises:
        DeviceError: the dtype is unknown or cannot be used on the device.
    """
    if dtype == "auto":
        own = stored if isinstance(stored, torch.dtype) else DTYPES.get(str(stored), torch.float32)
        return torch.bfloat16 if own == torch.float16 and device.type == "cpu" else own
    if dtype not in DTYPES:
        raise DeviceError(f"dtype {dtype!r} is not supported; choose one of: auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]


def computes_bfloat16() -> bool | None:
    """Return whether the processor multiplies bfloat16 in hardware; None if this torch does not say."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is None:
        return None
    return any(capabilities().get(name) for name in _BFLOAT16_CAPABILITIES)


def warn_of_slow(dtype: torch.dtype, placement: Placement) -> None:
    """Log a warning if the processor does not multiply the dtype in hardware; int8 it always does."""
    on_processor = placement.device.type == "cpu" and placement.weights == "auto"
    if on_processor and dtype == torch.bfloat16 and computes_bfloat16() is False:
        logger.warning(
            "this processor does not compute bfloat16, and imitates it several times slower than float32; "
            "take dtype float32, or weights int8"
        )


def is_installed(package: str) -> bool:
    """Return whether a package is installed, by the name that pip knows it by."""
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
