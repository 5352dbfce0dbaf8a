"""Policies by name: what their fields take."""

from __future__ import annotations

import pytest

from hermes_stream.policies import POLICIES, WindowPolicy
from hermes_stream.policies.named import choose_policy


@pytest.mark.parametrize(
    ("word", "value"), [("False", False), ("false", False), ("True", True), ("true", True)]
)
def test_yes_and_no_are_written_as_in_json_or_in_python(word, value):
    assert choose_policy(f"hermes_paper:summarize={word}", 60, 60).summarize is value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hermes:same_tokens=maybe", "same_tokens must be true or false, got 'maybe'"),
        ("hermes:summarize=1", "summarize must be true or false, got 1"),
        ("hermes:novelty=abc", "novelty must be a number, got 'abc'"),
        ("hermes:novelty=true", "novelty must be a number, got True"),
        ("window:sink_tokens=1.5", "sink_tokens must be a whole number, got 1.5"),
        ("hermes:smoothing=1", "smoothing must be a list in round brackets"),
        ("random:seed=99999999999999999999", "seed must be a whole number of at most"),
        ("resv:seed=99999999999999999999", "seed must be a whole number of at most"),
    ],
)
def test_a_field_takes_its_own_kind_of_value(text, said):
    with pytest.raises(ValueError, match=said):
        choose_policy(text, 60, 60)


def test_a_text_in_quotes_stays_as_it_is():
    texts = ("What (now), [here]?", 'He said "a :)", and left')
    named = 'hermes:prompts=("What (now), [here]?", "He said \\"a :)\\", and left"),novelty=2'
    policy = choose_policy(named, 60, 60)
    assert (policy.prompts, policy.novelty) == (texts, 2)


def test_what_cannot_make_a_policy_of_nothing_is_named(monkeypatch):
    monkeypatch.setitem(
        POLICIES.own, "strict", lambda *, budget_tokens: WindowPolicy(budget_tokens=budget_tokens)
    )
    with pytest.raises(ValueError, match=r"'strict': .* missing 1 required keyword-only argument"):
        choose_policy("strict", 60, 60)


@pytest.mark.parametrize("budget", [20.5, "5"])
def test_a_budget_is_a_whole_number(budget):
    with pytest.raises(ValueError, match="budget_tokens must be a whole number"):
        choose_policy("hermes", budget, 60)
