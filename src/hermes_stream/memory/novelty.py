"""How much of a token is new, compared with the token held before it at the same grid index."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

from hermes_stream.memory.selection import row_numbers, select_tokens
from hermes_stream.memory.state import PerLayer, layer_parts

# As torch's cosine and normalisation have them: what is shorter counts as this long.
_SHORTEST = 1e-12
_EPSILON = 1e-16


def previous_at_grid_index(grid_indices: Int[Tensor, "layers tokens"]) -> Int[Tensor, "layers tokens"]:
    """Find for each token the last one before it with the same grid index; -1 where there is none.

    Args:
        grid_indices: index within the temporal patch, -1 for tokens that have none and for padding.
    """
    # A stable sort puts tokens of one grid index side by side, still in the order of the stream.
    ordered, order = grid_indices.sort(dim=1, stable=True)
    later, earlier = ordered[:, 1:], ordered[:, :-1]
    before = torch.where((later == earlier) & (later >= 0), order[:, :-1], -1)
    return torch.full_like(order, -1).scatter_(1, order[:, 1:], before)


def key_norms(raw_keys: PerLayer, num_layers: int, width: int) -> Float[Tensor, "layers kv_heads tokens"]:
    """Return the length of every key in float32, 0 on padding.

    Args:
        raw_keys: of each layer ``[kv_heads, held, head_dim]``.
        num_layers: how many there are.
        width: tokens of the widest layer.
    """
    parts = layer_parts(raw_keys, num_layers)
    return _joined((vector_norm(held, dim=-1, dtype=torch.float32) for _, held in parts), width)


def novelty(
    raw_keys: PerLayer,
    grid_indices: Int[Tensor, "layers_or_one tokens"],
    norms: Float[Tensor, "layers kv_heads tokens"] | None = None,
) -> Float[Tensor, "layers tokens"]:
    """Return 1 minus the cosine of a token's key to the previous key at its grid index, from 0 to 1.

    A token without a previous one is wholly new and scores 1.

    Args:
        raw_keys: of each layer ``[kv_heads, held, head_dim]``.
        grid_indices: index within the temporal patch, -1 for tokens that have none and for padding. That of
            one layer, with ``norms``, where all layers hold the same tokens.
        norms: from ``key_norms``; None takes them.
    """
    width = grid_indices.shape[1]
    norms = key_norms(raw_keys, len(grid_indices), width) if norms is None else norms
    previous = previous_at_grid_index(grid_indices)
    before = previous.clamp(min=0)
    # Raw keys: rotated ones would differ by their time alone. All heads of a token are one vector.
    products = (
        _products(held, held, _of(before, layers, held, held.shape[2]))
        for layers, held in layer_parts(raw_keys, len(norms))
    )
    # On a processor torch's norm over any dimension but the last takes many times as long.
    whole = norms.square().sum(dim=1).sqrt_()
    lengths = (whole * whole.gather(1, before.expand(len(whole), -1))).clamp(min=_EPSILON)
    cosine = _joined(products, width).to(norms.device).sum(dim=1) / lengths
    return (1 - cosine).clamp(0, 1).masked_fill(previous < 0, 1.0)


def _of(
    index: Int[Tensor, "layers_or_one tokens"], layers: slice, held: Tensor, width: int | None = None
) -> Int[Tensor, "part_or_one held"]:
    """Return the first indices of a part, where the part is; None as width returns all."""
    own = index if len(index) == 1 else index[layers]
    return own[:, :width].to(held.device)


def _products(
    keys: Float[Tensor, "layers kv_heads tokens head_dim"],
    others: Float[Tensor, "layers kv_heads others head_dim"],
    index: Int[Tensor, "layers_or_one tokens"],
) -> Float[Tensor, "layers kv_heads tokens"]:
    """Return the product of each key with the one of ``others`` that the index names, in float32."""
    return select_tokens(others, index).float().mul_(keys).sum(dim=-1)


def _joined(
    parts: Iterable[Float[Tensor, "layers kv_heads held"]], width: int
) -> Float[Tensor, "layers kv_heads tokens"]:
    """Join what parts hold, on the first one's device, padded with 0."""
    # One part's keys are let go before the next part's are made.
    found = [part if part.shape[2] == width else F.pad(part, (0, width - part.shape[2])) for part in parts]
    return found[0] if len(found) == 1 else torch.cat([part.to(found[0].device) for part in found])


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
    rows = row_numbers(place, math.prod(place.shape[:-1]), keys.shape[-3], grid_size)
    width = keys.shape[-1]
    sums.view(-1, width).index_add_(0, rows, (keys * recent[..., None, :, None]).view(-1, width))
    counts = place.new_zeros(*place.shape[:-1], grid_size).scatter_add_(-1, place, recent.long())
    like = (keys * select_tokens(sums, place)).sum(dim=-1).mean(dim=-2)
    return like / counts.clamp(min=1).gather(-1, place)


def unlikeness(
    raw_keys: PerLayer,
    grid_indices: Int[Tensor, "layers_or_one tokens"],
    recent: Bool[Tensor, "layers_or_one tokens"],
    *,
    grid_size: int | None = None,
    most_recent: int | None = None,
    norms: Float[Tensor, "layers kv_heads tokens"] | None = None,
) -> Float[Tensor, "layers tokens"]:
    """Return 1 minus ``redundancy`` in every layer, from 0 to 2; what padding gets does not matter.

    Args:
        raw_keys: of each layer ``[kv_heads, held, head_dim]``.
        grid_indices: index within the temporal patch, -1 for tokens that have none and for padding. That of
            one layer, with ``norms``, where all layers hold the same tokens.
        recent: tokens of the newest frames, likewise.
        grid_size: one more than the largest grid index; None looks.
        most_recent: tokens of the newest frames in a layer, at most; None takes any number for possible.
        norms: from ``key_norms``; None takes them.
    """
    num_tokens = grid_indices.shape[1]
    norms = key_norms(raw_keys, len(grid_indices), num_tokens) if norms is None else norms
    if not grid_indices.numel():
        return norms.new_zeros(len(norms), num_tokens)
    size = max(1, int(grid_indices.max()) + 1 if grid_size is None else grid_size)
    num_near = num_tokens if most_recent is None else max(1, min(num_tokens, most_recent))
    norms, place = norms.clamp(min=_SHORTEST), grid_indices.clamp(min=0)
    # The mean of cosines is one product with the sum of unit keys; few tokens are near, and they alone are
    # read for it.
    near = recent.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :num_near]
    share = recent.gather(1, near)[:, None] / norms.gather(2, near[:, None].expand(*norms.shape[:2], -1))
    at = place.gather(1, near)
    sums = [
        _sums_at(
            held,
            _of(near, layers, held),
            _of(at, layers, held),
            share[layers].to(held.device),
            grid_size=size,
        )
        for layers, held in layer_parts(raw_keys, len(norms), num_near)
    ]
    sums_at = sums[0] if len(sums) == 1 else torch.cat([part.to(norms.device) for part in sums])
    products = (
        _products(held, sums_at[layers].to(held.device), _of(place, layers, held, held.shape[2]))
        for layers, held in layer_parts(raw_keys, len(norms))
    )
    like = (_joined(products, num_tokens).to(norms.device) / norms).mean(dim=1)
    counts = place.new_zeros(len(place), size).scatter_add_(1, place, recent.long())
    return 1 - like / counts.clamp(min=1).gather(1, place)


def _sums_at(
    keys: Float[Tensor, "layers kv_heads tokens head_dim"],
    near: Int[Tensor, "layers_or_one near"],
    at: Int[Tensor, "layers_or_one near"],
    share: Float[Tensor, "layers kv_heads near"],
    *,
    grid_size: int,
) -> Float[Tensor, "layers kv_heads grid head_dim"]:
    """Sum some keys up at each grid index.

    Args:
        keys: of some layers.
        near: which are summed up.
        at: their grid indices.
        share: what each is multiplied by; 0 leaves it out.
        grid_size: one more than the largest grid index, at least.
    """
    num_layers, num_heads, held, width = keys.shape
    chosen = select_tokens(keys, near.clamp(max=max(0, held - 1))) * share[..., None]
    sums = share.new_zeros(num_layers * num_heads * grid_size, width)
    sums.index_add_(0, row_numbers(at, num_layers, num_heads, grid_size), chosen.view(-1, width))
    return sums.view(num_layers, num_heads, grid_size, width)
