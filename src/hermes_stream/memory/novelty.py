"""How much of a token is new, compared with the token held before it at the same grid index."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.memory.selection import row_numbers, select_tokens
from hermes_stream.memory.state import PerLayer, layer_parts


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
    for layers, held in layer_parts(raw_keys, len(previous)):
        before = previous[layers, : held.shape[2]].to(held.device)
        # A part's keys are let go before the next part's are made.
        found[layers, : held.shape[2]] = _novelty_of_part(held, before).to(found.device)
    return found


def _novelty_of_part(
    raw_keys: Float[Tensor, "layers kv_heads tokens head_dim"], before: Int[Tensor, "layers tokens"]
) -> Float[Tensor, "layers tokens"]:
    # Raw keys: rotated ones would differ by their time alone.
    keys = raw_keys.transpose(1, 2).flatten(2).float()
    earlier = select_tokens(keys[:, None], before)[:, 0]
    cosine = F.cosine_similarity(keys, earlier, dim=-1)
    return (1 - cosine).clamp(0, 1).masked_fill(before < 0, 1.0)


def redundancy(
    keys: Float[Tensor, "*layers kv_heads tokens head_dim"],
    grid_indices: Int[Tensor, "*layers tokens"],
    recent: Bool[Tensor, "*layers tokens"],
    grid_size: int,
) -> Float[Tensor, "*layers tokens"]:
    """Return each token's mean cosine with the newest frames' keys of its grid index, 0 without any.

    Args:
        keys: of one layer, or of some.
        grid_indices: index of each token within its temporal patch; -1 counts as 0.
        recent: tokens of the newest frames.
        grid_size: one more than the largest grid index, at least.
    """
    keys = F.normalize(keys.float(), dim=-1)
    place = grid_indices.clamp(min=0)
    # The mean of cosines is one product with the sum of unit keys: no matrix of all pairs.
    sums = keys.new_zeros(*keys.shape[:-2], grid_size, keys.shape[-1])
    rows, width = row_numbers(place, grid_size, keys.shape[-3]), keys.shape[-1]
    sums.view(-1, width).index_add_(0, rows, (keys * recent[..., None, :, None]).view(-1, width))
    counts = place.new_zeros(*place.shape[:-1], grid_size).scatter_add_(-1, place, recent.long())
    like = (keys * select_tokens(sums, place)).sum(dim=-1).mean(dim=-2)
    return like / counts.clamp(min=1).gather(-1, place)


def unlikeness(
    raw_keys: PerLayer,
    grid_indices: Int[Tensor, "layers tokens"],
    recent: Bool[Tensor, "layers tokens"],
    grid_size: int | None = None,
) -> Float[Tensor, "layers tokens"]:
    """Return 1 minus ``redundancy`` in every layer, from 0 to 2; what padding gets does not matter.

    Args:
        raw_keys: of each layer ``[kv_heads, held, head_dim]``.
        grid_indices: index within the temporal patch, -1 for tokens that have none and for padding.
        recent: tokens of the newest frames.
        grid_size: one more than the largest grid index; None looks.
    """
    found = torch.zeros(grid_indices.shape, device=grid_indices.device)
    if not found.numel():
        return found
    size = int(grid_indices.max()) + 1 if grid_size is None else grid_size
    for layers, keys in layer_parts(raw_keys, len(found)):
        held = layers, slice(keys.shape[2])
        where, is_recent = grid_indices[held].to(keys.device), recent[held].to(keys.device)
        found[held] = 1 - redundancy(keys, where, is_recent, max(1, size)).to(found.device)
    return found
