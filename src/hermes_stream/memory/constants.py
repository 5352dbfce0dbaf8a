"""Numbers for a device without the host waiting for it: constants are made once, others are sent ahead."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Shaped
from torch import Tensor


@lru_cache(maxsize=256)
def constant(
    values: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> Shaped[Tensor, " values"]:
    """Return numbers, one for each layer, as a tensor that nobody may change.

    Args:
        values: of the layers.
        dtype: named, since 1, 1.0 and True are one key.
        device: where they are wanted.
    """
    with torch.inference_mode(False):  # so that it may be used with and without
        return torch.tensor(values, dtype=dtype, device=device)


def widest_float(device: torch.device) -> torch.dtype:
    """Return the dtype of the most digits that a device has: MPS has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def sent(numbers: Shaped[Tensor, "*shape"], device: torch.device) -> Shaped[Tensor, "*shape"]:
    """Return numbers on a device, which does what it was asked for before first, while the host goes on.

    Args:
        numbers: in host memory; where they are on the device already, they are returned.
        device: where they are wanted.
    """
    return ready_to_send(numbers, device).to(device, non_blocking=True)


def ready_to_send(numbers: Shaped[Tensor, "*shape"], device: torch.device) -> Shaped[Tensor, "*shape"]:
    """Return numbers where a device can fetch them itself, ``non_blocking``; see ``sent``."""
    if device.type == "cuda" and numbers.device.type == "cpu":
        # From memory that is not pinned the host waits, as soon as they are many. What repeats cannot be.
        return numbers.contiguous().pin_memory()
    return numbers
