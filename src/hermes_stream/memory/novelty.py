"""How much of a token was not there before, at its place in the picture."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.memory.state import PerLayer


def previous_at_place(grid_indices: Int[Tensor, "layers tokens"]) -> Int[Tensor, "layers tokens"]:
    """Find for each token the last one before it at the same place of its picture; -1 where there is none.

    Args:
        grid_indices: place within the frame, -1 for tokens of no place and for padding.
    """
    place, order = grid_indices.sort(dim=1, stable=True)
    follows = torch.zeros_like(place, dtype=torch.bool)
    follows[:, 1:] = (place[:, 1:] == place[:, :-1]) & (place[:, 1:] >= 0)
    before = torch.where(follows, order.roll(1, dims=1), -1)
    return torch.empty_like(before).scatter(1, order, before)


def novelty(raw_keys: PerLayer, grid_indices: Int[Tensor, "layers tokens"]) -> Float[Tensor, "layers tokens"]:
    """Return 1 minus the cosine of a token's key to that of the last held token at its place, 0 to 1.

    What is first at its place, and what has none, is wholly new. Keys are raw, so that time alone makes no
    difference.

    Args:
        raw_keys: of each layer ``[kv_heads, held, head_dim]``.
        grid_indices: place within the frame, -1 for tokens of no place and for padding.
    """
    previous = previous_at_place(grid_indices)
    found = torch.ones(previous.shape, device=previous.device)
    for layer, padded in enumerate(previous):
        keys = raw_keys[layer].transpose(0, 1).flatten(1).float()
        before = padded[: len(keys)].to(keys.device)
        alike = F.cosine_similarity(keys, keys[before.clamp(min=0)], dim=-1)
        new = (1 - alike).clamp(0, 1).masked_fill(before < 0, 1.0)
        found[layer, : len(keys)] = new.to(found.device)
    return found
