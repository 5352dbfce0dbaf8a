"""What every policy owes: its budget, order, repeatability; and its line in the lists."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies.states import check_contract, states

from hermes_stream.memory.state import MemoryState
from hermes_stream.policies import POLICIES
from hermes_stream.policies.base import MemoryPolicy

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
names = pytest.mark.parametrize("name", POLICIES)
VARIANTS = {
    "uniform": {"spacing": "tokens"},
    "random": {"unit": "patches", "per_layer": True},
    "stratified": {"per_layer": True},
    "streaming_vlm": {"window_seconds": 2},
    "window": {"sink_tokens": 1},
    "infinipot_v": {"keys": "raw", "temporal_share": 0.8, "pooling": (1, 1, 1, 1)},
    "livevlm": {"recent_patches": 1, "bucket_tokens": 2},
}


def bounded(name: str, budget_tokens: int) -> list[MemoryPolicy]:
    """The policy with its defaults, and its variant where there is one."""
    make = POLICIES[name]
    if make().with_default_budget(1).budget_tokens is None:
        return [make()]
    # A sink needs a token beside it, so the smallest budget is for the defaults alone.
    variants = [{}, VARIANTS[name]] if name in VARIANTS and budget_tokens > 1 else [{}]
    return [make(budget_tokens=budget_tokens, **variant) for variant in variants]


def test_variants_differ_from_the_defaults() -> None:
    for name, variant in VARIANTS.items():
        defaults = POLICIES[name]()
        assert all(getattr(defaults, field) != value for field, value in variant.items()), name


@names
@settings(max_examples=40, deadline=None)
@given(state=states, budget_tokens=st.integers(1, 16))
def test_a_plan_keeps_the_contract(name: str, state: MemoryState, budget_tokens: int) -> None:
    for policy in bounded(name, budget_tokens):
        plan = policy.plan(state)
        budgets = policy.layer_budgets(state.num_layers) or (10**6,) * state.num_layers
        check_contract(plan, state, budgets)
        again = policy.plan(state)
        assert torch.equal(plan.keep, again.keep)
        assert torch.equal(plan.summarize, again.summarize)


@names
def test_it_is_a_frozen_value_with_facts(name: str) -> None:
    policy = POLICIES[name]()
    assert is_dataclass(policy)
    assert policy.__dataclass_params__.frozen
    assert "facts" not in {field.name for field in fields(policy)}
    assert policy.facts.summary
    assert policy.facts.at_question
    assert inspect.getdoc(type(policy)).count("Attributes:") == 1


@names
def test_it_has_a_row_on_its_page(name: str) -> None:
    assert re.search(rf"^\| (`{name}`|[^|]*\(default; `{name}` is the same\)) ", PAGE, re.MULTILINE)


@names
def test_a_budget_below_one_is_refused(name: str) -> None:
    if name == "full":
        return
    with pytest.raises(ValueError, match=r"budget_tokens must be at least 1; got 0"):
        POLICIES[name](budget_tokens=0)
