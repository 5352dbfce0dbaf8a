"""Tokens that stand for many: the summary of what a layer evicts, and weighted means."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from hermes_stream.memory.rope import next_position
from hermes_stream.memory.state import MemoryState, MergedSlots


def merge_evicted(
    raw_keys: Float[Tensor, "*layers kv_heads tokens head_dim"],
    values: Float[Tensor, "*layers kv_heads tokens head_dim"],
    evicted: Bool[Tensor, "*layers tokens"],
) -> tuple[Float[Tensor, "*layers kv_heads head_dim"], Float[Tensor, "*layers kv_heads head_dim"]]:
    """Average the evicted tokens of each layer into one raw key and one value.

    Args:
        raw_keys: keys before rotation.
        values: values.
        evicted: tokens to merge, all of the same weight; a layer that evicts nothing gives zeros, which
            the caller ignores.

    Returns:
        Key and value of the summary token, averaged in float32, in the dtype of the inputs.

    Paper: app. F, alg. 1
    Differs: the paper rotates keys to one common position before it averages; raw keys share one already.
    """
    # A sum of thousands in bfloat16 would lose the last ones, so the mean is taken in float32.
    weights = evicted.float()
    weights = (weights / weights.sum(dim=-1, keepdim=True).clamp(min=1))[..., None, None, :]
    key = (weights @ raw_keys.float()).squeeze(-2)
    value = (weights @ values.float()).squeeze(-2)
    return key.to(raw_keys.dtype), value.to(values.dtype)


def merged(
    raw_keys: Float[Tensor, "layers kv_heads tokens head_dim"],
    values: Float[Tensor, "layers kv_heads tokens head_dim"],
    merge: MergedSlots | None,
    *,
    evicted: Bool[Tensor, "layers tokens"],
    layers: slice,
    num_new: int,
) -> tuple[Float[Tensor, "layers kv_heads slots head_dim"], Float[Tensor, "layers kv_heads slots head_dim"]]:
    """Return keys and values of new slots: those of the plan's merge, else of one summary a layer.

    Args:
        raw_keys: keys before rotation of what some layers hold; rotated ones would cancel each other.
        values: values.
        merge: what joins which slot, of all layers; None makes the one summary of what is evicted.
        evicted: tokens of the summary.
        layers: which layers these are.
        num_new: slots that each of them gains.
    """
    if merge is None:
        key, value = merge_evicted(raw_keys, values, evicted)
        return key[..., None, :], value[..., None, :]
    slots = torch.arange(num_new, device=merge.source_indices.device)[:, None]
    num_tokens = raw_keys.shape[2]
    joins = merge.slot_of_token[layers, None, :num_tokens] == slots
    shares = (joins * merge.weights[layers, None, :num_tokens].float()).to(raw_keys.device)[:, None]
    return (shares @ raw_keys.float()).to(raw_keys.dtype), (shares @ values.float()).to(values.dtype)


def new_slots(
    merge: MergedSlots | None,
    state: MemoryState,
    evicted: Bool[Tensor, "layers tokens"],
    summarizes: Bool[Tensor, " layers"],
) -> tuple[Int[Tensor, "layers slots"], Int[Tensor, "layers slots"]]:
    """Return the token that each new slot inherits from, -1 for no slot, and how many tokens it stands for.

    Args:
        merge: what joins which slot; None makes one summary in each layer that summarizes.
        state: of the memory before.
        evicted: tokens that leave.
        summarizes: layers that make a summary.
    """
    if merge is not None:
        slots = torch.arange(merge.source_indices.shape[1], device=evicted.device)
        joins = merge.slot_of_token[:, None] == slots[:, None]
        return merge.source_indices, (state.counts[:, None] * joins).sum(dim=2)
    # A summary has the time of its newest token, behind which it stands.
    newest = state.pts_seconds.masked_fill(~evicted, -torch.inf).argmax(dim=1, keepdim=True)
    counts = (state.counts * evicted).sum(dim=1, keepdim=True)
    return newest.masked_fill(~summarizes[:, None], -1), counts


def summary_position(
    positions: Num[Tensor, "*layers axes kept"], present: Bool[Tensor, "*layers kept"]
) -> Num[Tensor, "*layers"]:
    """Return the place behind the kept tokens: (max over all axes) + 1, the same on every axis.

    Args:
        positions: positions of the kept tokens, dense already where this compression re-indexes; at least
            0; may include the prefix.
        present: True where there is a token.

    Returns:
        One position per layer; 0 in a layer that keeps nothing.

    Paper: app. F, alg. 1
    Differs: the paper does not say where a summary stands; this is where the released code puts it. Counted
        in the clock of a stream it puts every later question one position too far.
    """
    return next_position(positions, present)


def newest_position(
    positions: Num[Tensor, "layers axes kept"], present: Bool[Tensor, "layers kept"]
) -> Num[Tensor, "layers axes"]:
    """Return the position of each layer's newest kept token: the furthest on axis t, the last of equals.

    Args:
        positions: as for ``summary_position``.
        present: True where there is a token.

    Returns:
        Its position on every axis; 0 in a layer that keeps nothing.

    Paper: app. F, alg. 1
    Differs: the paper does not say where a summary stands; beside the newest token it takes no position of
        its own, so that a question stands where it would without the summary.
    """
    time = positions[:, 0].masked_fill(~present, -1)
    index = time.shape[1] - 1 - time.flip(1).argmax(dim=1)
    newest = positions.gather(2, index[:, None, None].expand(-1, positions.shape[1], 1))[..., 0]
    return newest.masked_fill(~present.any(dim=1)[:, None], 0)


def summary_in_place(
    evicted: Bool[Tensor, "layers tokens"],
    counts: Int[Tensor, "layers tokens"],
    summarizes: Bool[Tensor, " layers"],
) -> MergedSlots:
    """Return the merge that puts a layer's summary in the middle of what it stands for.

    Every stream token has the same share, so that a former summary keeps its own.

    Args:
        evicted: tokens that leave.
        counts: tokens of the stream that each stands for.
        summarizes: layers that make a summary; one that evicts nothing makes none.

    Differs: the paper does not say where it stands, app. F, and weighs all evicted tokens alike.
    """
    weights = (evicted * counts * summarizes[:, None]).float()
    total = weights.sum(dim=1, keepdim=True)
    # The weighted median: half of what the summary stands for came before it.
    middle = (weights.cumsum(dim=1) * 2 < total).sum(dim=1, keepdim=True)
    joins = evicted & summarizes[:, None] & (counts > 0)
    return MergedSlots(
        slot_of_token=torch.where(joins, 0, -1),
        weights=weights / total.clamp(min=1),
        source_indices=middle.masked_fill(total == 0, -1),
    )
