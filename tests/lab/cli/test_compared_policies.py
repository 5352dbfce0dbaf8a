"""From words to compared policies: separators, budgets, seeds."""

from __future__ import annotations

import pytest
import typer

from hermes_lab.cli.compared_policies import (
    compared_policies,
    reference_among,
    split_budgets,
    split_policies,
)


@pytest.mark.parametrize(
    ("words", "policies"),
    [
        (["hermes"], ["hermes"]),
        (["a,b"], ["a", "b"]),
        (["a, b ;c"], ["a", "b", "c"]),
        (["a", "b,c"], ["a", "b", "c"]),
        (["hermes:summarize=false,window"], ["hermes:summarize=false", "window"]),
        (["hermes:summarize=false,reindex=eager,window"], ["hermes:summarize=false,reindex=eager", "window"]),
        (["hermes:a=1,b=2;hermes:a=2,b=3,hermes"], ["hermes:a=1,b=2", "hermes:a=2,b=3", "hermes"]),
        (["window,hermes:smoothing=[0,0.1,0],b=2"], ["window", "hermes:smoothing=[0,0.1,0],b=2"]),
        (
            ["hermes:w=(1,2),recent_n,random:unit=patches"],
            ["hermes:w=(1,2)", "recent_n", "random:unit=patches"],
        ),
    ],
)
def test_separators(words, policies):
    assert split_policies(words) == policies


@pytest.mark.parametrize("words", [[""], ["a,,b"], ["a;"], [",a"], [" "]])
def test_empty_policies(words):
    with pytest.raises(typer.BadParameter, match="an empty one"):
        split_policies(words)


def test_a_policy_twice():
    with pytest.raises(typer.BadParameter, match="'a' is there twice"):
        split_policies(["a,b", "a"])


def test_budgets():
    assert split_budgets(None) == []
    assert split_budgets("138, 276") == [138, 276]
    for wrong in ("", "0", "-1", "1.5", "a", "1,,2", "²"):
        with pytest.raises(typer.BadParameter, match="whole number above 0"):
            split_budgets(wrong)
    with pytest.raises(typer.BadParameter, match="twice"):
        split_budgets("5,5")


def test_the_reference():
    assert reference_among(["window", "hermes"], None) == "hermes"
    assert reference_among(["window", "random"], None) == "window"
    assert reference_among(["window", "random"], "random") == "random"
    with pytest.raises(typer.BadParameter, match="'full' does not take part; give one of window"):
        reference_among(["window"], "full")


def test_every_budget_and_every_seed():
    names = ["hermes", "full", "random", "random:seed=5", "resv_bounded"]
    found = compared_policies(names, [20, 40], num_seeds=2, first_seed=7)
    assert [(one.name, one.policy.budget_tokens, one.seed) for one in found] == [
        ("hermes", 20, None),
        ("hermes", 40, None),
        ("full", None, None),
        ("random", 20, 7),
        ("random", 20, 8),
        ("random", 40, 7),
        ("random", 40, 8),
        ("random:seed=5", 20, None),
        ("random:seed=5", 40, None),
        ("resv_bounded", 20, 7),
        ("resv_bounded", 20, 8),
        ("resv_bounded", 40, 7),
        ("resv_bounded", 40, 8),
    ]
    assert [one.policy.seed for one in found if one.name.startswith("random")] == [7, 8, 7, 8, 5, 5]
    assert all(one.policy.is_bounded for one in found if one.name == "resv_bounded")


def test_unknown_policies_and_fields():
    for wrong in ("nosuch", "hermes:nosuch=1", "hermes:reindex=never"):
        with pytest.raises(typer.BadParameter, match=r"nosuch|never"):
            compared_policies([wrong], [20], num_seeds=1, first_seed=0)
