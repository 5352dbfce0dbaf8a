"""Which tokens each layer keeps: its budget, the best tokens within it, and gathering them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int, Num, Shaped
from torch import Tensor

from hermes_stream.memory.constants import constant


def layer_budgets(weights: Sequence[float], budget_tokens: int) -> tuple[int, ...]:
    """Divide ``len(weights) * budget_tokens`` among layers by weight, by the largest remainder.

    Ties go to the shallower layer. A layer that would get nothing takes one token from the richest.

    Args:
        weights: one positive weight per layer; only their ratios count.
        budget_tokens: mean budget of a layer, at least 1.

    Returns:
        Tokens of each layer, at least 1, summing exactly to ``len(weights) * budget_tokens``.

    Paper: tab. 5
    Differs: in the paper what rounding leaves over goes to the last layer.
    """
    return _divided(tuple(weights), budget_tokens)


@lru_cache(maxsize=64)  # a policy asks at each compression, and fractions are slow
def _divided(weights: tuple[float, ...], budget_tokens: int) -> tuple[int, ...]:
    total = len(weights) * budget_tokens
    # As written in decimal, so that equal remainders are equal: 0.7 is 7/10 here.
    exact = [Fraction(str(weight)) for weight in weights]
    scale = total / sum(exact)
    shares = [weight * scale for weight in exact]
    budgets = [int(share) for share in shares]
    by_remainder = sorted(range(len(weights)), key=lambda layer: budgets[layer] - shares[layer])
    for layer in by_remainder[: total - sum(budgets)]:
        budgets[layer] += 1
    for layer, budget in enumerate(budgets):
        if budget == 0:
            budgets[budgets.index(max(budgets))] -= 1
            budgets[layer] = 1
    return tuple(budgets)


def select(
    scores: Float[Tensor, "layers tokens"],
    present: Bool[Tensor, "layers tokens"] | None,
    budgets: Int[Tensor, " layers"],
    *,
    preferred: Bool[Tensor, "layers tokens"] | None = None,
) -> Bool[Tensor, "layers tokens"]:
    """Keep the best tokens of each layer, as many as its budget allows.

    Preferred tokens come first, then the rest, each by falling score; at equal score the lower index wins.

    Args:
        scores: importance; what padding holds does not matter.
        present: True where there is a token; None where there is no padding.
        budgets: tokens that each layer may keep; 0 or less keeps none.
        preferred: tokens that stay before others as long as the budget lasts, whatever they score.

    Returns:
        True where a token stays.

    Paper: sec. 3.2, eq. 6
    """
    return first_of(ranked(scores, present, preferred), present, budgets)


def ranked(
    scores: Float[Tensor, "layers tokens"],
    present: Bool[Tensor, "layers tokens"] | None,
    preferred: Bool[Tensor, "layers tokens"] | None,
) -> Int[Tensor, "layers tokens"]:
    """Return the tokens of each layer, the best first, padding last; arguments as for ``select``."""
    by_score = scores.argsort(dim=1, descending=True, stable=True)
    if present is not None:
        group = torch.where(present, 1, 2)
        if preferred is not None:
            group = torch.where(preferred & present, 0, group)
    elif preferred is not None:
        group = torch.where(preferred, 0, 1)
    else:
        return by_score
    # A second stable sort instead of a bonus on the score: no score, infinite ones included, crosses groups.
    return by_score.gather(1, group.gather(1, by_score).argsort(dim=1, stable=True))


def first_of(
    order: Int[Tensor, "layers tokens"],
    present: Bool[Tensor, "layers tokens"] | None,
    budgets: Int[Tensor, " layers"],
) -> Bool[Tensor, "layers tokens"]:
    """Mark the first tokens of an order, as many as each layer's budget allows; see ``select``."""
    stays = torch.arange(order.shape[1], device=order.device) < budgets[:, None]
    marked = torch.empty_like(stays).scatter_(1, order, stays)
    return marked if present is None else marked & present


def whole_groups(
    candidates: Bool[Tensor, "layers tokens"],
    keys: Num[Tensor, "layers tokens"],
    room: Int[Tensor, "layers one"] | int,
) -> Bool[Tensor, "layers tokens"]:
    """Select whole groups of tokens, smallest key first, until the next one does not fit.

    Args:
        candidates: tokens to choose from.
        keys: tokens of one layer with the same key are a group; of finite numbers.
        room: tokens that each layer may select; less than 1 selects none.

    Returns:
        The selected tokens; where not even the first group fits, its newest tokens.
    """
    limits = torch.finfo(keys.dtype) if keys.is_floating_point() else torch.iinfo(keys.dtype)
    keys = keys.masked_fill(~candidates, limits.max)
    # Sorted from the end, so that equal keys come newest first and a cut leaves the newest.
    order = keys.shape[1] - 1 - keys.flip(1).argsort(dim=1, stable=True)
    ordered = keys.gather(1, order)
    rank = torch.arange(1, keys.shape[1] + 1, device=keys.device).expand_as(keys)
    is_last = torch.ones_like(candidates)
    is_last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    group_end = torch.where(is_last, rank, keys.shape[1]).flip(1).cummin(dim=1).values.flip(1)
    whole = group_end <= room
    selected = torch.where(whole.any(dim=1, keepdim=True), whole, rank <= room)
    return torch.zeros_like(candidates).scatter(1, order, selected) & candidates


def rank_within(
    groups: Int[Tensor, "layers tokens"], keys: Num[Tensor, "layers tokens"]
) -> Int[Tensor, "layers tokens"]:
    """Return each token's rank within its group by rising key, from 0; at equal keys the lower index first.

    Args:
        groups: tokens of one layer with the same number are a group.
        keys: what to order by.
    """
    by_key = keys.argsort(dim=1, stable=True)
    order = by_key.gather(1, groups.gather(1, by_key).argsort(dim=1, stable=True))
    ordered = groups.gather(1, order)
    index = torch.arange(groups.shape[1], device=groups.device).expand_as(groups)
    is_first = torch.ones_like(groups, dtype=torch.bool)
    is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = torch.where(is_first, index, 0).cummax(dim=1).values
    return torch.zeros_like(groups).scatter(1, order, index - first)


def evenly_spaced(
    candidates: Bool[Tensor, "layers tokens"], room: Int[Tensor, "layers one"] | int
) -> Bool[Tensor, "layers tokens"]:
    """Select M of n candidates at even distances: those with index i * n // M among them, i below M.

    Args:
        candidates: tokens to choose from.
        room: M, tokens that each layer may select; more than n selects all.
    """
    num_candidates = candidates.sum(dim=1, keepdim=True)
    room = num_candidates.clamp(max=room)
    rank = candidates.cumsum(dim=1)
    num_candidates = num_candidates.clamp(min=1)
    return candidates & (-(-rank * room // num_candidates) > -(-(rank - 1) * room // num_candidates))


def indices_of(
    kept: Bool[Tensor, "layers tokens"], num_kept: Sequence[int] | None = None
) -> Int[Tensor, "layers kept"]:
    """List the indices of True in each row, ascending, padded on the right with -1 to the longest row.

    Args:
        kept: what is listed.
        num_kept: how many are True in each row, for who knows it; None waits for the device to tell.
    """
    counts = kept.sum(dim=1, keepdim=True) if num_kept is None or len(set(num_kept)) > 1 else None
    width = max(num_kept) if num_kept is not None else int(kept.sum(dim=1).max())
    indices = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :width]
    if counts is None:
        return indices
    return indices.masked_fill(torch.arange(width, device=kept.device) >= counts, -1)


def evicted_mask(
    keep: Int[Tensor, "*layers kept"], present: Bool[Tensor, "*layers tokens"]
) -> Bool[Tensor, "*layers tokens"]:
    """Tell which tokens a plan does not keep.

    Args:
        keep: physical indices, -1 is padding.
        present: True where there is a token.

    Returns:
        True where a token leaves, False where it stays and on padding.
    """
    num_tokens = present.shape[-1]
    # One column more than tokens: padding of ``keep`` is scattered there and cut off.
    kept = torch.zeros(*present.shape[:-1], num_tokens + 1, dtype=torch.bool, device=present.device)
    kept = kept.scatter(-1, torch.where(keep >= 0, keep, num_tokens), True)
    return present & ~kept[..., :num_tokens]


def row_numbers(
    index: Int[Tensor, "*layers chosen"], num_layers: int, num_rows: int, pitch: int
) -> Int[Tensor, " chosen_of_all"]:
    """Number the tokens of all layers and rows through: whole tokens move far faster than number by number.

    Args:
        index: of tokens, at least 0, the same in all rows of a layer; of one layer, if the same in all.
        num_layers: how many there are.
        num_rows: rows of a layer, such as KV heads.
        pitch: tokens from the beginning of a row to that of the next.
    """
    begin = constant(tuple(range(0, num_layers * num_rows * pitch, pitch)), torch.long, index.device)
    own = index.reshape(math.prod(index.shape[:-1]), 1, index.shape[-1])
    return (own + begin.view(num_layers, num_rows, 1)).reshape(-1)


def select_tokens(
    per_token: Shaped[Tensor, "*layers rows tokens width"], keep: Int[Tensor, "*layers_or_one kept"]
) -> Shaped[Tensor, "*layers rows kept width"]:
    """Copy the kept tokens of raw keys or values; rows are KV heads.

    Where ``keep`` is padding the result repeats token 0 and means nothing. ``keep`` may be that of one layer.
    """
    *layers, num_rows, num_tokens, width = per_token.shape
    if not per_token.numel():
        return per_token[..., :0, :].new_zeros(*layers, num_rows, keep.shape[-1], width)
    num_layers = math.prod(layers)
    pitch, stride = num_tokens, per_token.stride()
    # A view of some slots is read where it lies: rows follow each other at an even pitch.
    is_even = stride[-2:] == (width, 1) and stride[-3] % width == 0
    if is_even and all(step == num_rows * stride[-3] for step in stride[:-3]):
        pitch = stride[-3] // width
    else:
        per_token = per_token.contiguous()
    flat = per_token.as_strided((pitch * (num_layers * num_rows - 1) + num_tokens, width), (width, 1))
    rows = row_numbers(keep.clamp(min=0), num_layers, num_rows, pitch)
    return flat.index_select(0, rows).view(*layers, num_rows, keep.shape[-1], width)
