"""Random numbers without a generator: each depends on a seed and on its token alone."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Multipliers of the SplitMix64 generator, as signed 64-bit integers.
_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def random_keys(
    identities: Int[Tensor, "layers tokens"], seed: int, dtype: torch.dtype, *, per_layer: bool = False
) -> Float[Tensor, "layers tokens"]:
    """Return a pseudo-random number in [0, 1) for each identity.

    A token keeps its number, so the tokens with the smallest numbers are a uniform sample of the whole stream
    (a reservoir), whenever and however often the others were evicted.

    Args:
        identities: ids of tokens or of temporal patches.
        seed: of the numbers, any 64-bit integer.
        dtype: of the numbers; float64 has 2^53 different ones, float32 2^24.
        per_layer: give the same identity another number in each layer.
    """
    if per_layer:
        # Layers are 2^40 apart, so no two of them share a number in streams below 2^40 tokens.
        identities = identities + (torch.arange(len(identities), device=identities.device)[:, None] << 40)
    digits = 53 if dtype == torch.float64 else 24
    mixed = _mix(_mix(torch.full_like(identities, seed)) + identities)
    return _shift(mixed, 64 - digits).to(dtype) * 2.0**-digits


def _mix(numbers: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Apply one step of SplitMix64; products wrap around."""
    numbers = numbers + _INCREMENT
    numbers = (numbers ^ _shift(numbers, 30)) * _FIRST
    numbers = (numbers ^ _shift(numbers, 27)) * _SECOND
    return numbers ^ _shift(numbers, 31)


def _shift(numbers: Int[Tensor, "*shape"], bits: int) -> Int[Tensor, "*shape"]:
    """Shift right and fill with zeros."""
    # torch shifts signed numbers and repeats the sign bit; SplitMix64 is defined on unsigned ones.
    return (numbers >> bits) & (2 ** (64 - bits) - 1)
