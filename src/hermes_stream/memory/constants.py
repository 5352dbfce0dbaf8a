"""Small constants on a device, made once: each copy from the host would make it wait."""

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
