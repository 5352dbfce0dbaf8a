"""Numbers in 8 bits with scales of 16: how they are rounded, and read back."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.layout import KEY_GROUP


def in_8_bits(
    numbers: Float[Tensor, "*shape head_dim"], group: int | None = None
) -> tuple[Int[Tensor, "*shape head_dim"], Float[Tensor, "*shape groups"]]:
    """Round numbers to 8 bits, the largest of each group to 127.

    Args:
        numbers: of any float dtype.
        group: channels that share a scale; None gives all of a head one. The last may be shorter.
    """
    width = numbers.shape[-1]
    groups = numbers.float().split(group or width, dim=-1)
    largest = torch.stack([part.abs().amax(dim=-1) for part in groups], dim=-1)
    scales = (
        (largest / 127).clamp(min=torch.finfo(torch.float16).tiny, max=torch.finfo(torch.float16).max).half()
    )
    # The smallest scale is above 0, so that a group of zeros divides to zeros.
    codes = (numbers.float() / _spread(scales, width)).round().clamp(-127, 127)
    return codes.to(torch.int8), scales


def from_8_bits(
    codes: Int[Tensor, "*shape head_dim"],
    scales: Float[Tensor, "*shape groups"],
    dtype: torch.dtype,
) -> Float[Tensor, "*shape head_dim"]:
    """Return the numbers that codes stand for."""
    return (codes * _spread(scales, codes.shape[-1])).to(dtype)


def _spread(scales: Float[Tensor, "*shape groups"], width: int) -> Float[Tensor, "*shape width"]:
    """Repeat the scale of each group for its channels, in float32."""
    if scales.shape[-1] == 1:
        return scales.float()
    return scales.float().repeat_interleave(KEY_GROUP, dim=-1)[..., :width]
