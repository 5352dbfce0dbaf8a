from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracles
from tests.checkpoints import random_frames
from tests.policies.states import kept_rows, make_state, states

from hermes_stream import Session
from hermes_stream.policies.base import TURN_END
from hermes_stream.policies.streammem import StreamMemPolicy


@settings(max_examples=60, deadline=None)
@given(states, st.integers(1, 16))
def test_plan_follows_the_rules(state, budget_tokens):
    plan = StreamMemPolicy(budget_tokens=budget_tokens).plan(state)
    for layer, kept in enumerate(kept_rows(plan)):
        n = int(state.lengths[layer])
        attention, frames = (part[layer, :n].tolist() for part in (state.attention, state.temporal_patch_ids))
        new = sorted(set(frames))[max(len(set(frames)) - budget_tokens // 2, 0) :]
        assert kept == oracles.select(attention, budget_tokens - len(new), [False] * n)
        for slot, frame in enumerate(new):
            tokens = [i for i in range(n) if frames[i] == frame]
            total = sum(attention[i] for i in tokens)
            assert int(plan.merge.source_indices[layer, slot]) == tokens[(len(tokens) + 1) // 2 - 1]
            for i in tokens:
                assert int(plan.merge.slot_of_token[layer, i]) == slot
                assert float(plan.merge.weights[layer, i]) == pytest.approx(attention[i] / total, rel=1e-4)


def test_only_frames_after_the_newest_prototype_get_one():
    state = make_state([12], tokens_per_temporal_patch=3)
    counts = state.counts.clone()
    counts[0, 5] = 3  # a prototype of frame 1
    plan = StreamMemPolicy(budget_tokens=8).plan(replace(state, counts=counts))
    assert plan.merge.source_indices.tolist() == [[7, 10]]
    assert len(kept_rows(plan)[0]) == 6


def test_it_reads_the_end_of_a_turn_in_all_layers():
    guidance = StreamMemPolicy().guidance(3, None, None)
    assert guidance.prompts == (TURN_END,)
    assert guidance.prompt_of_layer == (0, 0, 0)
    with pytest.raises(ValueError, match="attention"):
        StreamMemPolicy().plan(replace(make_state([3]), attention=None))


def test_prototypes_in_a_stream_are_weighted_means(model, monkeypatch):
    session = Session(model, StreamMemPolicy(budget_tokens=20), chunk_frames=4)
    cache, seen = session.cache, []
    plan_of = StreamMemPolicy.plan

    def watched(policy, state):
        plan = plan_of(policy, state)
        first = cache.num_prefix_tokens
        keys, values, positions = (
            part(6)[..., first:, :].clone()
            for part in (cache.keys, cache.values, lambda i: cache.positions(i).T)
        )
        seen.append((state, plan, keys, values, positions))
        return plan

    monkeypatch.setattr(StreamMemPolicy, "plan", watched)
    session.observe(random_frames(8))
    state, plan, keys, values, positions = seen[-1]
    first = cache.num_prefix_tokens + len(kept_rows(plan)[6])
    for slot, source in enumerate(plan.merge.source_indices[6].tolist()):
        joins = plan.merge.slot_of_token[6] == slot
        weights = plan.merge.weights[6][joins][:, None]
        torch.testing.assert_close(cache.keys(6)[:, first + slot], (keys[:, joins] * weights).sum(dim=1))
        torch.testing.assert_close(cache.values(6)[:, first + slot], (values[:, joins] * weights).sum(dim=1))
        assert cache.positions(6)[:, first + slot].tolist() == positions[source].tolist()
        new = cache.state()
        at = first + slot - cache.num_prefix_tokens
        assert new.counts[6, at] == joins.sum() == 9
        assert new.temporal_patch_ids[6, at] == state.temporal_patch_ids[6, source] >= 4
        assert new.token_ids[6, at] == state.token_ids.max() + 1 + slot
    assert set(cache.num_visual_tokens) == {20}
