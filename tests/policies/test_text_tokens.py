"""Text tokens of patches: in the budget, with their patch, never in a summary, not shown to policies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.policies.states import make_state

from hermes_stream import HermesPolicy, WindowPolicy
from hermes_stream.memory.selection import evicted_mask, indices_of
from hermes_stream.memory.state import MemoryState
from hermes_stream.policies import POLICIES
from hermes_stream.policies.text_tokens import plan_with_text_tokens

NUM_TEXT, NUM_VISUAL = 2, 4
PATCH = NUM_TEXT + NUM_VISUAL


def stream(num_patches: int, num_layers: int = 10) -> MemoryState:
    """Return temporal patches of two text tokens and four visual tokens each."""
    state = make_state([num_patches * PATCH] * num_layers, tokens_per_temporal_patch=PATCH)
    is_text = torch.arange(num_patches * PATCH) % PATCH < NUM_TEXT
    shape = state.token_ids.shape
    return replace(
        state,
        counts=(~is_text).long().expand(shape).clone(),
        grid_indices=torch.where(is_text, -1, state.grid_indices - NUM_TEXT),
    )


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "full"])
def test_text_stays_with_its_patch_within_the_budget(name):
    policy, state = POLICIES[name](budget_tokens=24), stream(12)
    state = replace(state, attention=torch.rand(state.token_ids.shape, generator=torch.Generator()))
    plan = plan_with_text_tokens(policy, state)
    limits = policy.layer_budgets(state.num_layers)
    for layer, row in enumerate(plan.keep.tolist()):
        kept = [index for index in row if index >= 0]
        assert kept == sorted(set(kept))
        assert len(kept) + int(plan.summarize[layer]) <= limits[layer]
        patches_seen = {index // PATCH for index in kept if index % PATCH >= NUM_TEXT}
        text = [index for index in kept if index % PATCH < NUM_TEXT]
        assert text == [p * PATCH + i for p in sorted(patches_seen) for i in range(NUM_TEXT)]
        assert patches_seen


def test_a_budget_below_one_patch_with_its_text_keeps_what_fits():
    policy = WindowPolicy(budget_tokens=3)
    plan = plan_with_text_tokens(policy, stream(5, num_layers=2))
    for row in plan.keep.tolist():
        kept = [index for index in row if index >= 0]
        assert len(kept) <= 3
        assert {index // PATCH for index in kept if index % PATCH < NUM_TEXT} == {i // PATCH for i in kept}


def test_keys_are_shown_without_text():
    state = stream(3, num_layers=2)
    keys = tuple(torch.arange(18.0).expand(1, 18)[..., None] for _ in range(2))
    seen = {}

    class Spy(WindowPolicy):
        def choosing(self, state):
            seen["keys"] = state.raw_keys[0][0, :, 0].tolist()
            seen["counts"] = state.counts.tolist()
            return WindowPolicy.choosing(self, state)

    plan_with_text_tokens(Spy(budget_tokens=9), replace(state, raw_keys=keys, rotated_keys=keys))
    assert seen["keys"] == [i for i in range(18) if i % PATCH >= NUM_TEXT]
    assert seen["counts"] == [[1] * 12] * 2


def thinned(state: MemoryState, seed: int) -> MemoryState:
    """Return a state of which each layer has lost some tokens, with keys and attention."""
    seed = torch.Generator().manual_seed(seed)
    keep = indices_of(torch.rand(state.token_ids.shape, generator=seed) > 0.3)
    source, exists = keep.clamp(min=0), keep >= 0
    padding = {"token_ids": -1, "temporal_patch_ids": -1, "grid_indices": -1, "pts_seconds": 0, "counts": 0}
    left = {
        name: getattr(state, name).gather(1, source).masked_fill(~exists, fill)
        for name, fill in padding.items()
    }
    keys = tuple(torch.randn(2, int(row.sum()), 8, generator=seed) for row in exists)
    shown = {"raw_keys": keys, "rotated_keys": keys, "values": keys}
    attention = torch.rand(keep.shape, generator=seed)
    return replace(state, **left, **shown, attention=attention, num_held=None, layers_alike=False)


@pytest.mark.parametrize("budget", [3, 11, 24, 40])
@pytest.mark.parametrize(
    "policy",
    [
        *(HermesPolicy.best(), HermesPolicy.paper(), WindowPolicy()),
        replace(HermesPolicy.paper(), novelty=1.0, unlike_share=0.3),
        replace(HermesPolicy.paper(), tier_budget_weights=(1.0, 2.0, 1.0), reindex="eager"),
    ],
    ids=str,
)
def test_halving_finds_the_first_part_that_fits(policy, budget, monkeypatch):
    policy = replace(policy, budget_tokens=budget)
    states = [thinned(stream(num_patches), seed) for seed, num_patches in enumerate((6, 11, 19))]
    found = [plan_with_text_tokens(policy, state) for state in states]
    monkeypatch.setattr(type(policy), "choosing", lambda *_: None)
    for plan, state in zip(found, states, strict=True):
        expected = plan_with_text_tokens(policy, state)
        kept = [[index for index in row if index >= 0] for row in plan.keep.tolist()]
        assert kept == [[index for index in row if index >= 0] for row in expected.keep.tolist()]
        assert plan.reindex == expected.reindex
        leaves = evicted_mask(plan.keep, state.present) & (state.counts > 0)
        assert torch.equal(plan.summarize, expected.summarize & leaves.any(dim=1))
        if plan.num_kept is not None:
            assert list(plan.num_kept) == [len(row) for row in kept]
            assert list(plan.num_new) == plan.summarize.long().tolist()


def test_sinks_leave_room_for_text():
    """Parts of the budget below the sinks are no policy, and are tried none the less."""
    plan = plan_with_text_tokens(WindowPolicy(budget_tokens=8, sink_tokens=4), stream(9, num_layers=2))
    for row in plan.keep.tolist():
        kept = [index for index in row if index >= 0]
        assert 0 < len(kept) <= 8
        assert kept[0] == 0  # the text of the first sinks


def test_who_plans_otherwise_is_asked_for_plans():
    asked = []

    class Other(WindowPolicy):
        def plan(self, state):
            asked.append(self.budget_tokens)
            return super().plan(state)

    plan_with_text_tokens(Other(budget_tokens=12), stream(4, num_layers=2))
    assert asked[0] == 12
    assert asked == sorted(asked, reverse=True)
