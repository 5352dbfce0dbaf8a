"""Text tokens of temporal patches, such as their time: a policy plans for visual tokens, text follows them.

Text tokens count in the budget, stay in a layer while the layer keeps a visual token of their patch, and
never join a summary.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.memory.selection import indices_of
from hermes_stream.memory.state import MemoryState, MergedSlots, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, keeping

_STEPS = 16


def plan_with_text_tokens(policy: MemoryPolicy, state: MemoryState) -> RetentionPlan:
    """Let a policy plan for the visual tokens, with as much of its budget as their text tokens leave.

    The budget falls in sixteenths; each layer gets the first plan that fits together with its text tokens.

    Args:
        policy: with a budget.
        state: text tokens have ``counts == 0``.
    """
    visual = indices_of(state.present & (state.counts > 0))
    shown = _select(state, visual)
    budgets = policy.layer_budgets(state.num_layers)
    assert budgets is not None
    assert policy.budget_tokens is not None
    limits = torch.tensor(budgets, device=visual.device)
    best: RetentionPlan | None = None
    # How many text tokens a plan brings is known only when it is made: it depends on the patches it keeps.
    settled = torch.zeros_like(limits, dtype=torch.bool)
    for step in range(_STEPS, 0, -1):
        part = replace(policy, budget_tokens=max(1, policy.budget_tokens * step // _STEPS))  # type: ignore[type-var]
        plan = _with_text(part.plan(shown), visual, state)
        fits = _num_slots(plan) <= limits
        best = plan if best is None else _combined(best, plan, ~settled)
        settled |= fits
        if settled.all():
            return best
    assert best is not None
    return _newest_that_fit(best, state, limits)


def _select(state: MemoryState, index: Int[Tensor, "layers visual"]) -> MemoryState:
    """Return the state of some tokens."""
    exists, source = index >= 0, index.clamp(min=0)
    padding = {"token_ids": -1, "temporal_patch_ids": -1, "grid_indices": -1}
    selected: dict[str, Any] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, Tensor):
            selected[field.name] = value.gather(1, source).masked_fill(~exists, padding.get(field.name, 0))
    for name in ("raw_keys", "rotated_keys", "values"):
        if (held := getattr(state, name)) is not None:
            selected[name] = tuple(
                held[layer][:, row[row >= 0].to(held[layer].device)] for layer, row in enumerate(index)
            )
    return replace(state, num_held=None, **selected)


def _with_text(
    plan: RetentionPlan, visual: Int[Tensor, "layers visual"], state: MemoryState
) -> RetentionPlan:
    """Return a plan for visual tokens as one for all tokens, text of kept patches included."""
    kept = torch.zeros_like(state.present)
    rows, columns = (plan.keep >= 0).nonzero(as_tuple=True)
    kept[rows, visual[rows, plan.keep[rows, columns]]] = True
    keep = indices_of(kept | _text_of(kept, state))
    plan = replace(plan, num_kept=None, num_new=None, is_shared=False)  # of visual tokens alone
    if plan.merge is None:
        return replace(plan, keep=keep)
    slots = torch.full_like(state.token_ids, -1)
    weights = torch.zeros_like(slots, dtype=plan.merge.weights.dtype)
    rows, columns = (visual >= 0).nonzero(as_tuple=True)
    slots[rows, visual[rows, columns]] = plan.merge.slot_of_token[rows, columns]
    weights[rows, visual[rows, columns]] = plan.merge.weights[rows, columns]
    source = plan.merge.source_indices
    source = visual.gather(1, source.clamp(min=0)).masked_fill(source < 0, -1)
    merge = MergedSlots(slot_of_token=slots, weights=weights, source_indices=source)
    return replace(plan, keep=keep, merge=merge)


def _text_of(kept: Bool[Tensor, "layers tokens"], state: MemoryState) -> Bool[Tensor, "layers tokens"]:
    """Mark the text tokens of patches of which a layer keeps a visual token."""
    ids, patch = torch.unique(state.temporal_patch_ids, return_inverse=True)
    num_kept = torch.zeros(state.num_layers, len(ids), dtype=torch.long, device=kept.device)
    num_kept.scatter_add_(1, patch, kept.long())
    is_text = state.present & (state.counts == 0)
    return is_text & (num_kept.gather(1, patch) > 0) & (state.temporal_patch_ids >= 0)


def _num_slots(plan: RetentionPlan) -> Int[Tensor, " layers"]:
    """Count the slots that each layer needs, new ones included."""
    added = plan.summarize.long() if plan.merge is None else plan.merge.num_slots
    return (plan.keep >= 0).sum(dim=1) + added


def _combined(one: RetentionPlan, other: RetentionPlan, from_other: Bool[Tensor, " layers"]) -> RetentionPlan:
    """Return a plan with some layers of another plan of the same policy."""

    def combine(a: Tensor, b: Tensor, fill: float = -1) -> Tensor:
        width = max(a.shape[1], b.shape[1])
        a, b = (torch.nn.functional.pad(x, (0, width - x.shape[1]), value=fill) for x in (a, b))
        return torch.where(from_other[:, None], b, a)

    merge = one.merge
    if merge is not None and other.merge is not None:
        merge = MergedSlots(
            slot_of_token=combine(merge.slot_of_token, other.merge.slot_of_token),
            weights=combine(merge.weights, other.merge.weights, 0),
            source_indices=combine(merge.source_indices, other.merge.source_indices),
        )
    return RetentionPlan(
        keep=combine(one.keep, other.keep),
        summarize=torch.where(from_other, other.summarize, one.summarize),
        reindex=one.reindex or other.reindex,
        merge=merge,
    )


def _newest_that_fit(
    plan: RetentionPlan, state: MemoryState, limits: Int[Tensor, " layers"]
) -> RetentionPlan:
    """Keep the newest tokens with their text, for budgets of which no part fits; merge nothing."""
    kept = torch.zeros_like(state.present)
    for layer, row in enumerate(plan.keep.tolist()):
        patch_ids, counts = state.temporal_patch_ids[layer].tolist(), state.counts[layer].tolist()
        text_of_patch: dict[int, list[int]] = {}
        for index in row:
            if index >= 0 and not counts[index]:
                text_of_patch.setdefault(patch_ids[index], []).append(index)
        room = int(limits[layer])
        for index in reversed(row):
            if index < 0 or not counts[index]:
                continue
            # The first token of a patch brings its text; the others come alone.
            together = [index, *text_of_patch.pop(patch_ids[index], [])]
            if len(together) > room:
                break
            room -= len(together)
            kept[layer, together] = True
    return keeping(kept, reindex=plan.reindex)
