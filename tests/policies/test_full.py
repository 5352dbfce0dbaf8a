from __future__ import annotations

import pytest
from hypothesis import given, settings
from tests.policies.states import kept_rows, states

from hermes_stream.memory.state import MemoryState
from hermes_stream.policies import POLICIES
from hermes_stream.policies.full import FullPolicy


@settings(max_examples=20, deadline=None)
@given(states)
def test_everything_stays(state: MemoryState) -> None:
    plan = FullPolicy().plan(state)
    assert kept_rows(plan) == [list(range(length)) for length in state.lengths.tolist()]
    assert not plan.summarize.any()
    assert not plan.reindex


def test_there_is_no_bound() -> None:
    assert POLICIES["full"](budget_tokens=None).layer_budgets(4) is None
    with pytest.raises(ValueError, match="must be None"):
        FullPolicy(budget_tokens=10)
