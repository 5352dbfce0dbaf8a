from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies.states import kept_rows, make_state, states

from hermes_stream.policies.streaming_vlm import StreamingVlmPolicy


def oracle(seconds: list[float], budget_tokens: int, window_seconds: int) -> list[int]:
    kept: list[int] = []
    for second in range(int(max(seconds, default=0)), int(max(seconds, default=0)) - window_seconds, -1):
        tokens = [i for i in range(len(seconds)) if int(seconds[i]) == second]
        if len(kept) + len(tokens) > budget_tokens:
            kept = kept or tokens[len(tokens) - budget_tokens :]
            break
        kept += tokens
    return sorted(kept)


@settings(max_examples=80, deadline=None)
@given(states, st.integers(1, 16), st.integers(1, 5), st.sampled_from([0.4, 0.5, 1.0, 1.7]))
def test_whole_seconds_leave(state, budget_tokens, window_seconds, seconds_per_frame):
    state = replace(state, pts_seconds=state.temporal_patch_ids.clamp(min=0) * seconds_per_frame + 0.25)
    plan = StreamingVlmPolicy(budget_tokens=budget_tokens, window_seconds=window_seconds).plan(state)
    assert plan.reindex
    for layer, kept in enumerate(kept_rows(plan)):
        length = int(state.lengths[layer])
        seconds = state.pts_seconds[layer, :length].tolist()
        assert kept == oracle(seconds, budget_tokens, window_seconds)


def test_time_passes_under_budget_too():
    policy = StreamingVlmPolicy(budget_tokens=1000)
    assert policy.exceeds(1, 1000, 0)
    assert not policy.exceeds(0, 1000, 0)
    assert kept_rows(policy.plan(make_state([20], tokens_per_temporal_patch=1))) == [list(range(4, 20))]
