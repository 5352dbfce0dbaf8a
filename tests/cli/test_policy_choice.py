from __future__ import annotations

from dataclasses import replace

import pytest
import typer

from hermes_stream import FullPolicy, HermesPolicy, WindowPolicy
from hermes_stream.cli.opening import read_policy
from hermes_stream.policies import POLICIES


def test_a_name_alone_is_the_policy_with_its_defaults():
    assert read_policy("hermes_paper").make(budget_tokens=99) == HermesPolicy(budget_tokens=99)
    for name in ("hermes", "hermes_best"):
        assert read_policy(name).make(budget_tokens=99) == HermesPolicy.best(99)
    assert read_policy("window").make(budget_tokens=99) == WindowPolicy(budget_tokens=99)
    assert read_policy("full").make() == FullPolicy()
    assert read_policy("hermes").takes_budget
    assert not read_policy("full").takes_budget


@pytest.mark.parametrize("name", POLICIES)
def test_every_name_is_read(name):
    choice = read_policy(name)
    made = choice.make(budget_tokens=999) if choice.takes_budget else choice.make()
    assert made.budget_tokens == (999 if choice.takes_budget else None)


def test_fields_are_read_as_what_they_are():
    made = read_policy(
        "hermes_paper:summarize=false, protect_recent_patches=2,smoothing=[0,0.5,1],reindex=eager"
    ).make(budget_tokens=7)
    assert made == HermesPolicy(
        budget_tokens=7, summarize=False, protect_recent_patches=2, smoothing=(0, 0.5, 1), reindex="eager"
    )
    assert read_policy("hermes_paper:smoothing=(0,0,0)").make() == HermesPolicy(smoothing=(0, 0, 0))


def test_fields_of_a_preset_may_differ_too():
    made = read_policy("hermes:novelty=0").make(budget_tokens=7)
    assert made == replace(HermesPolicy.best(7), novelty=0)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("herms", "'herms' is none of hermes"),
        ("hermes:sumarize=false", "'sumarize=false' is not a field with its value; fields: sensory_share"),
        ("hermes:summarize", "'summarize' is not a field"),
        ("hermes:budget_tokens=4", "'budget_tokens=4' is not a field"),
        ("hermes:protect_recent_patches=-1", "protect_recent_patches"),
        ("hermes:reindex=never", "reindex"),
        ("full:x=1", "fields: none"),
    ],
)
def test_mistakes_are_named(words, reason):
    with pytest.raises(typer.BadParameter, match=reason):
        read_policy(words)
