"""How much of a token is new, compared with the token held before it at the same grid index."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.memory.state import PerLayer


def previous_at_grid_index(grid_indices: Int[Tensor, "layers tokens"]) -> Int[Tensor, "layers tokens"]:
    """Find for each token the last one before it with the same grid index; -1 where there is none.

    Args:
        grid_indices: index within the temporal patch, -1 for tokens that have none and for padding.
    """
    # A stable sort puts tokens of one grid index side by side, still in the order of the stream.
    ordered, order = grid_indices.sort(dim=1, stable=True)
    follows = torch.zeros_like(ordered, dtype=torch.bool)
    follows[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    before = torch.where(follows, order.roll(1, dims=1), -1)
    return torch.empty_like(before).scatter(1, order, before)


def novelty(raw_keys: PerLayer, grid_indices: Int[Tensor, "layers tokens"]) -> Float[Tensor, "layers tokens"]:
    """Return 1 minus the cosine of a token's key to the previous key at its grid index, from 0 to 1.

    A token without a previous one is wholly new and scores 1.

    Args:
        raw_keys: of each layer ``[kv_heads, held, head_dim]``.
        grid_indices: index within the temporal patch, -1 for tokens that have none and for padding.
    """
    previous = previous_at_grid_index(grid_indices)
    found = torch.ones(previous.shape, device=previous.device)
    for layer, padded in enumerate(previous):
        # Raw keys: rotated ones would differ by their time alone.
        keys = raw_keys[layer].transpose(0, 1).flatten(1).float()
        before = padded[: len(keys)].to(keys.device)
        cosine = F.cosine_similarity(keys, keys[before], dim=-1)  # -1 reads the last key, and is masked
        new = (1 - cosine).clamp(0, 1).masked_fill(before < 0, 1.0)
        found[layer, : len(keys)] = new.to(found.device)
    return found


def redundancy(
    keys: Float[Tensor, "kv_heads tokens head_dim"],
    grid_indices: Int[Tensor, " tokens"],
    recent: Bool[Tensor, " tokens"],
) -> Float[Tensor, " tokens"]:
    """Return each token's mean cosine with the newest frames' keys of its grid index, 0 without any.

    Args:
        keys: of one layer.
        grid_indices: index within the temporal patch; -1 counts as 0.
        recent: tokens of the newest frames.
    """
    keys = F.normalize(keys.float(), dim=-1)
    grid_indices = grid_indices.clamp(min=0)
    size = int(grid_indices.max()) + 1 if len(grid_indices) else 0
    # The mean of cosines is one product with the sum of unit keys: no matrix of all pairs.
    sums = keys.new_zeros(keys.shape[0], size, keys.shape[2])
    sums.index_add_(1, grid_indices[recent], keys[:, recent])
    counts = grid_indices[recent].bincount(minlength=size).clamp(min=1)
    return (keys * sums[:, grid_indices]).sum(dim=-1).mean(dim=0) / counts[grid_indices]


def unlikeness(
    raw_keys: PerLayer,
    grid_indices: Int[Tensor, "layers tokens"],
    recent: Bool[Tensor, "layers tokens"],
    lengths: Int[Tensor, " layers"],
) -> Float[Tensor, "layers tokens"]:
    """Return 1 minus ``redundancy`` in every layer, from 0 to 2, 0 on padding.

    Args:
        raw_keys: of each layer ``[kv_heads, held, head_dim]``.
        grid_indices: index within the temporal patch, -1 for tokens that have none and for padding.
        recent: tokens of the newest frames.
        lengths: tokens that each layer holds.
    """
    found = torch.zeros(grid_indices.shape, device=grid_indices.device)
    for layer, count in enumerate(lengths.tolist()):
        keys, held = raw_keys[layer], slice(count)
        like = redundancy(
            keys, grid_indices[layer, held].to(keys.device), recent[layer, held].to(keys.device)
        )
        found[layer, held] = 1 - like.to(found.device)
    return found
