from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import splitmix
from tests.policies.states import kept_rows, make_state, states

from hermes_stream.memory.state import MemoryState
from hermes_stream.policies.random import RandomPolicy
from hermes_stream.policies.stratified import StratifiedPolicy


def rows_of(state: MemoryState, layer: int) -> tuple[list[int], list[int]]:
    parts = (state.token_ids, state.temporal_patch_ids)
    return tuple(part[layer, : int(state.lengths[layer])].tolist() for part in parts)


@settings(max_examples=60, deadline=None)
@given(states, st.integers(1, 16), st.integers(0, 3))
def test_the_smallest_numbers_stay(state, budget_tokens, seed):
    plan = RandomPolicy(budget_tokens=budget_tokens, seed=seed).plan(state)
    for layer, kept in enumerate(kept_rows(plan)):
        ids, _ = rows_of(state, layer)
        by_number = sorted(range(len(ids)), key=lambda i: splitmix(ids[i], seed))
        assert kept == sorted(by_number[:budget_tokens])


@settings(max_examples=60, deadline=None)
@given(states, st.integers(1, 16), st.integers(0, 3))
def test_whole_frames_stay(state, budget_tokens, seed):
    plan = RandomPolicy(budget_tokens=budget_tokens, seed=seed, unit="patches").plan(state)
    for layer, kept in enumerate(kept_rows(plan)):
        _, frames = rows_of(state, layer)
        expected: list[int] = []
        for frame in sorted(set(frames), key=lambda frame: splitmix(frame, seed)):
            tokens = [i for i in range(len(frames)) if frames[i] == frame]
            if len(expected) + len(tokens) > budget_tokens:
                expected = expected or tokens[len(tokens) - budget_tokens :]
                break
            expected += tokens
        assert kept == sorted(expected)


@settings(max_examples=60, deadline=None)
@given(states, st.integers(1, 16), st.integers(0, 3))
def test_every_frame_gets_its_turn(state, budget_tokens, seed):
    plan = StratifiedPolicy(budget_tokens=budget_tokens, seed=seed).plan(state)
    for layer, kept in enumerate(kept_rows(plan)):
        ids, frames = rows_of(state, layer)
        expected: list[int] = []
        left = sorted(range(len(ids)), key=lambda i: splitmix(ids[i], seed))
        while left and len(expected) < budget_tokens:
            firsts = [i for n, i in enumerate(left) if frames[i] not in {frames[j] for j in left[:n]}]
            expected += firsts[: budget_tokens - len(expected)]
            left = [i for i in left if i not in firsts]
        assert kept == sorted(expected)


@pytest.mark.parametrize("make", [RandomPolicy, StratifiedPolicy])
def test_many_small_compressions_equal_one(make):
    whole = make_state([60])
    held = torch.arange(0)
    policy = make(budget_tokens=20)
    for start in range(0, 60, 4):
        held = torch.cat([held, torch.arange(start, start + 4)])
        part = replace(
            whole,
            **{
                name: getattr(whole, name)[:, held]
                for name in ("token_ids", "temporal_patch_ids", "pts_seconds", "counts", "grid_indices")
            },
            attention=None,
        )
        held = held[policy.plan(part).keep[0]] if len(held) > 20 else held
    at_once = kept_rows(RandomPolicy(budget_tokens=20).plan(whole))[0]
    if make is RandomPolicy:
        assert held.tolist() == at_once
    counts = Counter((held // 3).tolist())
    assert make is RandomPolicy or (len(counts) == 20 and set(counts.values()) == {1})


def test_every_token_of_the_past_is_as_likely():
    kept = Counter()
    for seed in range(300):
        kept.update(kept_rows(RandomPolicy(budget_tokens=10, seed=seed).plan(make_state([40])))[0])
    assert all(45 < kept[token] < 110 for token in range(40))  # 75 expected, six standard deviations


def test_layers_draw_together_or_alone():
    together = kept_rows(RandomPolicy(budget_tokens=5).plan(make_state([30] * 4)))
    alone = kept_rows(RandomPolicy(budget_tokens=5, per_layer=True).plan(make_state([30] * 4)))
    assert len({tuple(row) for row in together}) == 1
    assert len({tuple(row) for row in alone}) == 4


def test_fields_out_of_range_are_refused():
    with pytest.raises(ValueError, match="unit must be one of tokens, patches"):
        RandomPolicy(unit="pixels")
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        StratifiedPolicy(seed=-1)
