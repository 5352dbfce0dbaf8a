"""The policy that docs/adding-a-policy.md writes keeps the contract of policies."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from tests.policies.states import check_contract, kept_rows, make_state

GUIDE = Path(__file__).parents[2] / "docs" / "adding-a-policy.md"


@pytest.fixture
def written(monkeypatch) -> type:
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[1]
    module = ModuleType("value_norm")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, str(GUIDE), "exec"), module.__dict__)
    return module.ValueNormPolicy


def test_the_guide_writes_a_policy(written):
    state = make_state([9, 7, 0], seed=3)
    plan = written(budget_tokens=4).plan(state)
    check_contract(plan, state, [4] * 3)
    norms = [values.pow(2).sum(dim=(0, 2)) for values in state.values]
    for kept, norm in zip(kept_rows(plan), norms, strict=True):
        assert kept == sorted(norm.argsort(descending=True)[:4].tolist())


def test_its_budget_is_checked(written):
    with pytest.raises(ValueError, match="budget_tokens must be at least 1"):
        replace(written(), budget_tokens=0)
