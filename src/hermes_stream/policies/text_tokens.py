"""Text tokens of temporal patches, such as their time: a policy plans for visual tokens, text follows them.

Text tokens count in the budget, stay in a layer while the layer keeps a visual token of their patch, and
never join a summary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import chain
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.memory.constants import constant
from hermes_stream.memory.selection import evicted_mask, indices_of
from hermes_stream.memory.state import MemoryState, MergedSlots, PerLayer, RetentionPlan, layer_parts
from hermes_stream.policies.asked import plan_of
from hermes_stream.policies.base import Choosing, MemoryPolicy, keeping

_STEPS, _HALVES = 16, (16, 8, 4, 2, 1)


def plan_with_text_tokens(policy: MemoryPolicy, state: MemoryState) -> RetentionPlan:
    """Let a policy plan for the visual tokens, with as much of its budget as their text tokens leave.

    The budget falls in sixteenths; each layer gets the first plan that fits together with its text tokens.

    Args:
        policy: with a budget.
        state: text tokens have ``counts == 0``.
    """
    tokens = _Tokens(state)
    shown = tokens.shown()
    choosing = policy.choosing(shown) if _chooses_as_it_plans(type(policy)) else None
    if choosing is not None:
        return _most_that_fits(policy, choosing, tokens)
    return _first_that_fits(policy, shown, tokens)


def _chooses_as_it_plans(policy: type[MemoryPolicy]) -> bool:
    """Tell whether no class overrides ``plan`` alone, of one that has both."""
    return next(
        "choosing" in vars(one) for one in policy.__mro__ if not {"choosing", "plan"}.isdisjoint(vars(one))
    )


class _Tokens:
    """The visual tokens of a state, and which text belongs to them.

    Attributes:
        state: of all tokens.
        visual: physical indices of visual tokens, padded with -1.
    """

    def __init__(self, state: MemoryState) -> None:
        is_visual = state.present & (state.counts > 0)
        self._num_visual: list[int] = is_visual.sum(dim=1).tolist()  # the host waits for the device
        self.state, self.visual = state, indices_of(is_visual, self._num_visual)
        self._is_text = state.present & (state.counts == 0)
        # Tokens of a patch stand together, for ids ascend: patches can be numbered without a look at them.
        changes = state.temporal_patch_ids.diff(dim=1) != 0
        self._patch = F.pad(changes.long(), (1, 0)).cumsum(dim=1)

    def shown(self) -> MemoryState:
        """Return the state of the visual tokens."""
        exists, source, state = self.visual >= 0, self.visual.clamp(min=0), self.state
        padding = {"token_ids": -1, "temporal_patch_ids": -1, "grid_indices": -1}
        selected: dict[str, Any] = {}
        for field in fields(state):
            value = getattr(state, field.name)
            if isinstance(value, Tensor):
                fill = padding.get(field.name, 0)
                selected[field.name] = value.gather(1, source).masked_fill(~exists, fill)
        for name in ("raw_keys", "rotated_keys", "values"):
            if (held := getattr(state, name)) is not None:
                selected[name] = _Selected(held, source, self._num_visual)
        return replace(state, num_held=None, **selected)

    def spread(self, of_visual: Tensor, fill: float) -> Shaped[Tensor, "layers tokens"]:
        """Return numbers of visual tokens where these stand among all tokens.

        Args:
            of_visual: ``[layers, visual]``.
            fill: of all other tokens.
        """
        num_tokens = self.state.token_ids.shape[1]
        # One column more than tokens: padding goes there and is cut off.
        whole = of_visual.new_full((len(of_visual), num_tokens + 1), fill)
        where = torch.where(self.visual >= 0, self.visual, num_tokens)
        return whole.scatter(1, where, of_visual)[:, :num_tokens]

    def with_text(self, kept: Bool[Tensor, "layers visual"]) -> Bool[Tensor, "layers tokens"]:
        """Mark visual tokens among all tokens, and the text of the patches of which a layer keeps some."""
        whole = self.spread(kept, False)
        num_kept = torch.zeros_like(self._patch).scatter_add_(1, self._patch, whole.long())
        return whole | (self._is_text & (num_kept.gather(1, self._patch) > 0))


class _Selected:
    """Keys or values of some tokens, as many layers at once as there are in one piece.

    Args:
        held: of all tokens.
        index: which ones, ``[layers, tokens]``; padding may be any.
        lengths: how many of each layer.
    """

    def __init__(self, held: PerLayer, index: Int[Tensor, "layers tokens"], lengths: Sequence[int]) -> None:
        self._lengths, self._parts = lengths, list[tuple[slice, Tensor]]()
        for layers, part in layer_parts(held, len(index)):
            own = index[layers].to(part.device)[:, None, :, None].clamp(max=max(part.shape[2] - 1, 0))
            self._parts.append((layers, part.gather(2, own.expand(-1, part.shape[1], -1, part.shape[3]))))

    def __getitem__(self, layer: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return those of one layer."""
        for layers, part in self._parts:
            if layers.start <= layer < layers.stop:
                return part[layer - layers.start, :, : self._lengths[layer]]
        raise IndexError(layer)

    def parts(self, width: int | None = None) -> Iterator[tuple[slice, Tensor]]:  # noqa: ARG002
        """Yield all; see ``LayerViews``."""
        yield from self._parts


def _part(policy: MemoryPolicy, step: int) -> int:
    """Return so many sixteenths of a policy's budget."""
    assert policy.budget_tokens is not None
    return max(1, policy.budget_tokens * step // _STEPS)


def _most_that_fits(policy: MemoryPolicy, choosing: Choosing, tokens: _Tokens) -> RetentionPlan:
    """Halve for each layer what may be the largest part that fits; the host waits for the result alone."""
    num_layers, device = tokens.visual.shape[0], tokens.visual.device
    table = [choosing.budgets(_part(policy, step), num_layers) for step in range(1, _STEPS + 1)]
    budgets_of = constant(tuple(chain.from_iterable(table)), torch.long, device).view(_STEPS, num_layers)
    limits = budgets_of[-1]

    def of_step(step: Int[Tensor, " layers"]) -> tuple[Tensor, Tensor]:
        kept, makes = choosing.plan(budgets_of.gather(0, step.clamp(max=_STEPS)[None] - 1)[0])
        return tokens.with_text(kept), makes

    found = torch.zeros(num_layers, dtype=torch.long, device=device)
    best, makes = of_step(torch.ones_like(found))  # where nothing fits
    for more in _HALVES:
        kept, makes_one = of_step(found + more)
        fits = (kept.sum(dim=1) + makes_one <= limits) & (found + more <= _STEPS)
        found = found + more * fits
        best, makes = torch.where(fits[:, None], kept, best), torch.where(fits, makes_one, makes)
    evicts = (tokens.state.counts > 0) & tokens.state.present & ~best
    makes = makes & evicts.any(dim=1)
    num_kept, num_new, steps = torch.stack((best.sum(dim=1), makes.long(), found)).tolist()
    if not min(steps):
        return _newest_that_fit(keeping(best, reindex=choosing.reindex), tokens.state, limits)
    return keeping(
        best,
        summarize=makes,
        reindex=choosing.reindex,
        num_kept=tuple(num_kept),
        num_new=tuple(num_new),
    )


def _first_that_fits(policy: MemoryPolicy, shown: MemoryState, tokens: _Tokens) -> RetentionPlan:
    """Plan for each part, until one fits every layer."""
    budgets = policy.layer_budgets(shown.num_layers)
    assert budgets is not None
    limits = constant(budgets, torch.long, tokens.visual.device)
    best: RetentionPlan | None = None
    # How many text tokens a plan brings is known only when it is made: it depends on the patches it keeps.
    settled = torch.zeros_like(limits, dtype=torch.bool)
    for step in range(_STEPS, 0, -1):
        part = replace(policy, budget_tokens=_part(policy, step))  # type: ignore[type-var]
        plan = _with_text(plan_of(part, shown), tokens)
        fits = _num_slots(plan) <= limits
        best = plan if best is None else _combined(best, plan, ~settled)
        settled |= fits
        if settled.all():
            return best
    assert best is not None
    return _newest_that_fit(best, tokens.state, limits)


def _with_text(plan: RetentionPlan, tokens: _Tokens) -> RetentionPlan:
    """Return a plan for visual tokens as one for all tokens, text of kept patches included."""
    visual = tokens.visual
    evicted = evicted_mask(plan.keep, visual >= 0)
    keep = indices_of(tokens.with_text((visual >= 0) & ~evicted))
    plan = replace(plan, num_kept=None, num_new=None, is_shared=False)  # of visual tokens alone
    if plan.merge is None:
        return replace(plan, keep=keep)
    source = plan.merge.source_indices
    merge = MergedSlots(
        slot_of_token=tokens.spread(plan.merge.slot_of_token, -1),
        weights=tokens.spread(plan.merge.weights, 0),
        source_indices=visual.gather(1, source.clamp(min=0)).masked_fill(source < 0, -1),
    )
    return replace(plan, keep=keep, merge=merge)


def _num_slots(plan: RetentionPlan) -> Int[Tensor, " layers"]:
    """Count the slots that each layer needs, new ones included."""
    added = plan.summarize.long() if plan.merge is None else plan.merge.num_slots
    return (plan.keep >= 0).sum(dim=1) + added


def _combined(one: RetentionPlan, other: RetentionPlan, from_other: Bool[Tensor, " layers"]) -> RetentionPlan:
    """Return a plan with some layers of another plan of the same policy."""

    def combine(a: Tensor, b: Tensor, fill: float = -1) -> Tensor:
        width = max(a.shape[1], b.shape[1])
        a, b = (F.pad(x, (0, width - x.shape[1]), value=fill) for x in (a, b))
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
