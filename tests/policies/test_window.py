from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies.states import check_contract, kept_rows, make_state, states

from hermes_stream.memory.state import MemoryState
from hermes_stream.policies import POLICIES
from hermes_stream.policies.window import WindowPolicy


def window_of(lengths: list[int], **fields: int) -> list[list[int]]:
    return kept_rows(WindowPolicy(**fields).plan(make_state(lengths)))


def oracle(frames: list[int], budget_tokens: int, sink_tokens: int) -> list[int]:
    """Add the newest frames one by one as long as they fit; if not even one does, its newest tokens."""
    sinks = list(range(min(sink_tokens, len(frames))))
    kept, others = list(sinks), range(len(sinks), len(frames))
    for frame in sorted({frames[i] for i in others}, reverse=True):
        tokens = [i for i in others if frames[i] == frame]
        if len(kept) + len(tokens) > budget_tokens:
            if kept == sinks:
                kept += tokens[len(tokens) - (budget_tokens - len(kept)) :]
            break
        kept += tokens
    return sorted(kept)


@settings(max_examples=80, deadline=None)
@given(states, st.integers(1, 16), st.integers(0, 5))
def test_contract(state: MemoryState, budget_tokens: int, sink_tokens: int) -> None:
    sink_tokens = min(sink_tokens, budget_tokens - 1)
    policy = WindowPolicy(budget_tokens=budget_tokens, sink_tokens=sink_tokens)
    plan = policy.plan(state)
    assert plan.reindex
    check_contract(plan, state, policy.layer_budgets(state.num_layers))
    for layer, kept in enumerate(kept_rows(plan)):
        length = int(state.lengths[layer])
        frames = state.temporal_patch_ids[layer, :length].tolist()
        assert kept == oracle(frames, budget_tokens, sink_tokens)


def test_newest_whole_frames_stay() -> None:
    assert window_of([9], budget_tokens=7) == [[3, 4, 5, 6, 7, 8]]
    assert window_of([9], budget_tokens=9) == [list(range(9))]


def test_sinks_stay_and_cost_budget() -> None:
    assert window_of([12], budget_tokens=7, sink_tokens=2) == [[0, 1, 9, 10, 11]]


def test_a_frame_larger_than_the_budget_keeps_its_newest_tokens() -> None:
    assert window_of([9], budget_tokens=2) == [[7, 8]]


def test_no_tokens_and_one_token() -> None:
    assert window_of([0, 1], budget_tokens=3) == [[], [0]]
    assert window_of([0, 0], budget_tokens=3) == [[], []]


@pytest.mark.parametrize(
    "fields", [{"budget_tokens": 0}, {"sink_tokens": -1}, {"budget_tokens": 4, "sink_tokens": 4}]
)
def test_fields_out_of_range_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        WindowPolicy(**fields)


def test_it_reads_no_prompt() -> None:
    policy = POLICIES["window"](budget_tokens=5)
    assert policy.guidance(4, None, None) is None
    assert policy.layer_budgets(3) == (5, 5, 5)
