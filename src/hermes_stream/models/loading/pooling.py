"""LLaVA-OneVision's pooling by four gathers on a GPU, whose interpolation takes a ninth of a chunk's time."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

_TOLERANCE = 1e-5


def fuse_pooling(model: Any) -> None:
    """Replace a model's pooling of video features where both compute the same, and where it has one.

    Args:
        model: transformers' model without its head, loaded by us and nobody else's.
    """
    original, vision = getattr(model, "apply_pooling", None), getattr(model.config, "vision_config", None)
    if original is None or vision is None:
        return
    side = vision.image_size // vision.patch_size
    numbers = torch.linspace(-3, 2, side * side * 2).sin().view(1, side * side, 2)
    expected = original(numbers)
    if not torch.allclose(pooled(numbers, side), expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        return

    def apply_pooling(features: Tensor) -> Tensor:
        result: Tensor = pooled(features, side) if features.is_cuda else original(features)
        return result

    model.apply_pooling = apply_pooling


def pooled(
    features: Float[Tensor, "frames tokens dim"], side: int
) -> Float[Tensor, "frames pooled_tokens dim"]:
    """Halve the rows and columns of pictures' tokens, rounded up, by bilinear interpolation in float32.

    Args:
        features: row by row.
        side: rows, and columns, of each picture.
    """
    index, weights = _taps(side, features.device)
    taps = features.index_select(1, index).view(len(features), 4, -1, features.shape[2])
    return (taps * weights[:, :, None]).sum(dim=1).to(features.dtype)


@lru_cache(maxsize=8)
def _taps(
    side: int, device: torch.device
) -> tuple[Int[Tensor, " taps_and_tokens"], Float[Tensor, "taps pooled_tokens"]]:
    """Return which four tokens each pooled token is made of, and how much of each."""
    half = math.ceil(side / 2)
    centre = ((torch.arange(half, dtype=torch.float64) + 0.5) * side / half - 0.5).clamp(min=0)
    first = centre.floor().long()
    second, share = (first + 1).clamp(max=side - 1), (centre - first).float()
    lines = ((first, 1 - share), (second, share))
    index = [rows[:, None] * side + columns for rows, _ in lines for columns, _ in lines]
    weights = [row[:, None] * column for _, row in lines for _, column in lines]
    with torch.inference_mode(False):  # so that it may be used with and without
        return torch.stack(index).flatten().to(device), torch.stack(weights).flatten(1).to(device)
