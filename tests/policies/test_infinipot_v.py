from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracles
from tests.policies.states import kept_rows, make_state, states

from hermes_stream.memory.state import MemoryState
from hermes_stream.policies.infinipot_v import InfinipotVPolicy


def cosine(one: list[float], other: list[float]) -> float:
    def length(vector: list[float]) -> float:
        return sum(x * x for x in vector) ** 0.5

    return sum(x * y for x, y in zip(one, other, strict=True)) / (length(one) * length(other))


def oracle(policy: InfinipotVPolicy, state: MemoryState, layer: int) -> list[int]:
    n, budget = int(state.lengths[layer]), policy.budget_tokens
    frames, grid = (part[layer, :n].tolist() for part in (state.temporal_patch_ids, state.grid_indices))
    keys = (state.raw_keys if policy.keys == "raw" else state.rotated_keys)[layer].tolist()
    values = state.values[layer].tolist()
    if not n:
        return []
    share = int(policy.temporal_share * budget)
    num_recent = int(policy.recent_share * n / max(frames.count(frame) for frame in frames))
    recent: list[int] = []
    for frame in sorted(set(frames), reverse=True)[:num_recent]:
        tokens = [i for i in range(n) if frames[i] == frame]
        if len(recent) + len(tokens) > share:
            recent = recent or tokens[len(tokens) - share :]
            break
        recent += tokens
    unlike = []
    for i in range(n):
        heads = [[cosine(head[i], head[j]) for j in recent if grid[j] == grid[i]] for head in keys]
        unlike.append(-sum(sum(head) / max(len(head), 1) for head in heads) / len(heads))
    forced = oracles.select(unlike, share, [i in recent for i in range(n)])
    norms = [sum(sum(x * x for x in head[i]) ** 0.5 for head in values) / len(values) for i in range(n)]
    half = policy.pooling[4 * layer // state.num_layers] // 2
    around = [norms[max(i - half, 0) : i + half + 1] for i in range(n)]
    pooled = [sum(part) / len(part) for part in around]
    return oracles.select(pooled, budget, [i in forced for i in range(n)])


@settings(max_examples=60, deadline=None)
@given(
    states,
    st.integers(1, 16),
    st.sampled_from(["raw", "rotated"]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([(7, 5, 3, 1), (1, 1, 1, 1)]),
)
def test_plan_follows_the_equations(state, budget_tokens, keys, temporal_share, pooling):
    policy = InfinipotVPolicy(
        budget_tokens=budget_tokens, keys=keys, temporal_share=temporal_share, pooling=pooling
    )
    plan = policy.plan(state)
    for layer, kept in enumerate(kept_rows(plan)):
        assert kept == oracle(policy, state, layer)


def test_a_token_that_newer_frames_repeat_goes_first():
    state = make_state([12], tokens_per_temporal_patch=3)
    keys = state.raw_keys[0]
    keys[:, 0] = keys[:, 9] * 2  # frame 0 repeats frame 3 at grid index 0
    keys[:, 3] = -keys[:, 9]  # frame 1 is the opposite of it there
    policy = InfinipotVPolicy(budget_tokens=4, keys="raw", temporal_share=1.0)
    assert kept_rows(policy.plan(state)) == [[3, 9, 10, 11]]


def test_what_is_missing_or_out_of_range_is_refused():
    with pytest.raises(ValueError, match="shows keys, values"):
        InfinipotVPolicy().plan(replace(make_state([3]), values=None))
    for fields in ({"temporal_share": 1.5}, {"recent_share": -1}, {"pooling": (2, 1, 1, 1)}, {"keys": "old"}):
        with pytest.raises(ValueError, match="must be"):
            InfinipotVPolicy(**fields)
