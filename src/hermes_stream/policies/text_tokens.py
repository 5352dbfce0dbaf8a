"""Words that belong to frames, such as their time: a policy never sees them, its plan takes them along.

Words count in the budget, stay in a layer while the layer keeps a visual token of their frame, and never join
a summary.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.memory.selection import indices_of
from hermes_stream.memory.state import MemoryState, MergedSlots, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy

_STEPS = 16


def plan_with_text_tokens(policy: MemoryPolicy, state: MemoryState) -> RetentionPlan:
    """Let a policy plan for the visual tokens, with as much of its budget as their words leave.

    The budget falls in sixteenths until each layer's plan fits with its words; a layer takes the largest that
    fits.

    Args:
        policy: with a budget.
        state: words have ``counts == 0``.
    """
    visual = indices_of(state.present & (state.counts > 0))
    seen = _gathered(state, visual)
    budgets = policy.layer_budgets(state.num_layers)
    assert budgets is not None
    assert policy.budget_tokens is not None
    limits = torch.tensor(budgets, device=visual.device)
    best: RetentionPlan | None = None
    settled = torch.zeros_like(limits, dtype=torch.bool)
    for step in range(_STEPS, 0, -1):
        part = replace(policy, budget_tokens=max(1, policy.budget_tokens * step // _STEPS))  # type: ignore[type-var]
        plan = _restored(part.plan(seen), visual, state)
        fits = _slots(plan) <= limits
        best = plan if best is None else _mixed(best, plan, ~settled)
        settled |= fits
        if settled.all():
            return best
    assert best is not None
    return _cut(best, state, limits)


def _gathered(state: MemoryState, index: Int[Tensor, "layers visual"]) -> MemoryState:
    """Show the state of some tokens."""
    there, source = index >= 0, index.clamp(min=0)
    padding = {"token_ids": -1, "temporal_patch_ids": -1, "grid_indices": -1}
    shown: dict[str, Any] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, Tensor):
            shown[field.name] = value.gather(1, source).masked_fill(~there, padding.get(field.name, 0))
    for name in ("raw_keys", "rotated_keys", "values"):
        if (held := getattr(state, name)) is not None:
            shown[name] = tuple(
                held[layer][:, row[row >= 0].to(held[layer].device)] for layer, row in enumerate(index)
            )
    return replace(state, **shown)


def _restored(plan: RetentionPlan, visual: Int[Tensor, "layers visual"], state: MemoryState) -> RetentionPlan:
    """Return a plan for visual tokens as one for all tokens, words of kept frames included."""
    kept = torch.zeros_like(state.present)
    rows, columns = (plan.keep >= 0).nonzero(as_tuple=True)
    kept[rows, visual[rows, plan.keep[rows, columns]]] = True
    keep = indices_of(kept | _words_of(kept, state))
    if plan.merge is None:
        return replace(plan, keep=keep)
    slots = torch.full_like(state.token_ids, -1)
    weights = torch.zeros_like(slots, dtype=plan.merge.weights.dtype)
    rows, columns = (visual >= 0).nonzero(as_tuple=True)
    slots[rows, visual[rows, columns]] = plan.merge.slot_of_token[rows, columns]
    weights[rows, visual[rows, columns]] = plan.merge.weights[rows, columns]
    place = visual.gather(1, plan.merge.place.clamp(min=0)).masked_fill(plan.merge.place < 0, -1)
    return replace(plan, keep=keep, merge=MergedSlots(slot_of_token=slots, weights=weights, place=place))


def _words_of(kept: Bool[Tensor, "layers tokens"], state: MemoryState) -> Bool[Tensor, "layers tokens"]:
    """Mark the words of frames of which a layer keeps a visual token."""
    numbers, frame = torch.unique(state.temporal_patch_ids, return_inverse=True)
    is_kept = torch.zeros(state.num_layers, len(numbers), dtype=torch.long, device=kept.device)
    is_kept.scatter_add_(1, frame, kept.long())
    is_text = state.present & (state.counts == 0)
    return is_text & (is_kept.gather(1, frame) > 0) & (state.temporal_patch_ids >= 0)


def _slots(plan: RetentionPlan) -> Int[Tensor, " layers"]:
    """Count the slots that each layer takes, new ones included."""
    added = plan.summarize.long() if plan.merge is None else plan.merge.num_slots
    return (plan.keep >= 0).sum(dim=1) + added


def _mixed(one: RetentionPlan, other: RetentionPlan, takes_other: Bool[Tensor, " layers"]) -> RetentionPlan:
    """Take some layers from another plan of the same policy."""

    def mix(a: Tensor, b: Tensor, fill: float = -1) -> Tensor:
        width = max(a.shape[1], b.shape[1])
        a, b = (torch.nn.functional.pad(x, (0, width - x.shape[1]), value=fill) for x in (a, b))
        return torch.where(takes_other[:, None], b, a)

    merge = one.merge
    if merge is not None and other.merge is not None:
        merge = MergedSlots(
            slot_of_token=mix(merge.slot_of_token, other.merge.slot_of_token),
            weights=mix(merge.weights, other.merge.weights, 0),
            place=mix(merge.place, other.merge.place),
        )
    return RetentionPlan(
        keep=mix(one.keep, other.keep),
        summarize=torch.where(takes_other, other.summarize, one.summarize),
        reindex=one.reindex or other.reindex,
        merge=merge,
    )


def _cut(plan: RetentionPlan, state: MemoryState, limits: Int[Tensor, " layers"]) -> RetentionPlan:
    """Keep the newest tokens with their words, for budgets of which no part fits; merge nothing."""
    kept = torch.zeros_like(state.present)
    for layer, row in enumerate(plan.keep.tolist()):
        numbers, counts = state.temporal_patch_ids[layer].tolist(), state.counts[layer].tolist()
        words: dict[int, list[int]] = {}
        for index in row:
            if index >= 0 and not counts[index]:
                words.setdefault(numbers[index], []).append(index)
        room = int(limits[layer])
        for index in reversed(row):
            if index < 0 or not counts[index]:
                continue
            taken = [index, *words.pop(numbers[index], [])]
            if len(taken) > room:
                break
            room -= len(taken)
            kept[layer, taken] = True
    return RetentionPlan(
        keep=indices_of(kept), summarize=torch.zeros_like(plan.summarize), reindex=plan.reindex
    )
