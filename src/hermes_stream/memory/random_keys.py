"""Chance without state: a number for each token that depends on a seed and on the token alone."""

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
    """Return a number in [0, 1) for each identity, as good as drawn at random.

    A token keeps its number for ever, so the tokens with the smallest numbers are a fair sample of all that
    ever came (a reservoir), whenever and however often the others were forgotten.

    Args:
        identities: what the numbers belong to.
        seed: another seed, other numbers.
        dtype: of the numbers; float64 tells 2^53 apart, float32 2^24.
        per_layer: draw in each layer on its own.
    """
    if per_layer:  # streams of 2^40 tokens would be needed for two layers to meet
        identities = identities + (torch.arange(len(identities), device=identities.device)[:, None] << 40)
    digits = 53 if dtype == torch.float64 else 24
    mixed = _mix(_mix(torch.full_like(identities, seed)) + identities)
    return (_shift(mixed, 64 - digits)).to(dtype) * 2.0**-digits


def _mix(numbers: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Take one step of SplitMix64; products wrap around."""
    numbers = numbers + _INCREMENT
    numbers = (numbers ^ _shift(numbers, 30)) * _FIRST
    numbers = (numbers ^ _shift(numbers, 27)) * _SECOND
    return numbers ^ _shift(numbers, 31)


def _shift(numbers: Int[Tensor, "*shape"], bits: int) -> Int[Tensor, "*shape"]:
    """Shift right and fill with zeros; torch repeats the sign."""
    return (numbers >> bits) & (2 ** (64 - bits) - 1)
