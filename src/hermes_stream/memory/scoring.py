"""Importance of every token in every layer: attention, recency and their mixture."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hermes_stream.memory.constants import constant, sent
from hermes_stream.memory.state import MemoryState

# As in the released code; equal scores become 0 instead of 0 / 0.
EPSILON = 1e-6


def minmax(
    values: Float[Tensor, "layers tokens"], present: Bool[Tensor, "layers tokens"] | None
) -> Float[Tensor, "layers tokens"]:
    """Scale each layer's values to [0, 1): (x - min) / (max - min + 1e-6) over the tokens it holds.

    Args:
        values: any finite numbers; what padding holds does not matter.
        present: True where there is a token; None where there is no padding.

    Returns:
        Scaled values, 0 on padding and where all tokens are equal.

    Paper: sec. 3.1, normalisation
    """
    if values.shape[1] == 0:
        return values
    if present is None:
        low, high = values.aminmax(dim=1, keepdim=True)
        return (values - low) / (high - low + EPSILON)
    low = values.masked_fill(~present, torch.inf).amin(dim=1, keepdim=True)
    high = values.masked_fill(~present, -torch.inf).amax(dim=1, keepdim=True)
    return ((values - low) / (high - low + EPSILON)).masked_fill(~present, 0)


def recency(
    present: Bool[Tensor, "layers tokens"], decay: Float[Tensor, " layers"]
) -> Float[Tensor, "layers tokens"]:
    """Forget exponentially: exp(-k dt), dt growing from 0 at the newest token to 1 at the oldest.

    Args:
        present: True where there is a token; padding is on the right.
        decay: k of each layer, at least 0; the oldest token scores exp(-k).

    Returns:
        Recency in (0, 1], 0 on padding.

    Paper: sec. 3.1, eq. 1
    Differs: the paper's dt is T-1-i tokens; the released code, and we, divide it by max(T-1, 1), because
        the k it uses (20) would leave nothing of any token but the newest.
    """
    # By order, not by time: a layer that holds few tokens spreads the same decay over them.
    num_tokens = present.sum(dim=1, keepdim=True)
    index = torch.arange(present.shape[1], device=present.device)
    distance = (num_tokens - 1 - index) / (num_tokens - 1).clamp(min=1)
    return torch.exp(-decay[:, None] * distance).masked_fill(~present, 0)


def importance(
    attention: Float[Tensor, "layers tokens"],
    present: Bool[Tensor, "layers tokens"] | None,
    recent: Float[Tensor, "layers tokens"],
    recency_weight: Float[Tensor, " layers"],
) -> Float[Tensor, "layers tokens"]:
    """Mix normalised attention A and normalised recency R: S = (1 - w) A + w R.

    Sensory memory is the end w = 1 (eq. 1), long-term memory the end w = 0 (eq. 2).

    Args:
        attention: softmax weight that the layer's guidance prompt pays to each token, at least 0.
        present: True where there is a token; None where there is no padding.
        recent: w R, from ``weighted_recency`` or what returns the same.
        recency_weight: w of each layer, in [0, 1].

    Returns:
        Scores in [0, 1), float32, 0 on padding.

    Paper: sec. 3.1, eqs. 1, 2 and 4
    Differs: eqs. 1 and 2 show no normalisation; the released code, and we, normalise in every tier.
    """
    return (1 - recency_weight[:, None]) * minmax(attention.float(), present) + recent


def weighted_recency(
    present: Bool[Tensor, "layers tokens"],
    *,
    decay: Float[Tensor, " layers"],
    recency_weight: Float[Tensor, " layers"],
) -> Float[Tensor, "layers tokens"]:
    """Return w R: normalised recency times its weight, 0 on padding.

    Args:
        present: True where there is a token; padding is on the right.
        decay: k of each layer, at least 0.
        recency_weight: w of each layer, in [0, 1].
    """
    return recency_weight[:, None] * minmax(recency(present, decay), present)


@lru_cache(maxsize=8)
def recency_of_lengths(
    lengths: tuple[int, ...],
    *,
    decay: tuple[float, ...],
    recency_weight: tuple[float, ...],
    device: torch.device,
) -> Float[Tensor, "layers tokens"]:
    """Return ``weighted_recency`` of layers that hold so many tokens; nobody may change it.

    A stream's chunks are alike, so that it is the same at nearly every compression.
    """
    with torch.inference_mode(False):
        held = sent(torch.tensor(lengths), device)
        weight, by = (constant(one, torch.float32, device) for one in (recency_weight, decay))
        present = torch.arange(max(lengths), device=device) < held[:, None]
        return weighted_recency(present, decay=by, recency_weight=weight)


def recency_of_state(
    state: MemoryState, *, decay: tuple[float, ...], recency_weight: tuple[float, ...]
) -> Float[Tensor, "layers tokens"]:
    """Return ``weighted_recency`` of what a state holds; nobody may change it."""
    device = state.token_ids.device
    if state.num_held is not None and max(state.num_held) == state.token_ids.shape[1]:
        return recency_of_lengths(state.num_held, decay=decay, recency_weight=recency_weight, device=device)
    by, weight = (constant(one, torch.float32, device) for one in (decay, recency_weight))
    return weighted_recency(state.present, decay=by, recency_weight=weight)
