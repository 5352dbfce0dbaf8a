"""Figures: which are drawn, and that they are pictures of some size with labels."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from hermes_lab.analysis import comparison_plots as comparison

GROUPS = ("now", "backward", "counting")


def score(value, reach=0.1, chance=0.25):
    low, high = (value - reach, value + reach) if reach else (None, None)
    return {"accuracy": value, "low": low, "high": high, "chance": chance, "num_questions": 9}


def entry(policy, budget_tokens, value, *, reach=0.1, delays=3):
    bins = [
        {"from_seconds": 5.0 * 2**k, "until_seconds": 10.0 * 2**k, **score(value, reach)}
        for k in range(delays)
    ]
    return {
        "policy": policy,
        "budget_tokens": budget_tokens,
        **score(value, reach),
        "accuracy_by_group": {group: score(value, reach) for group in GROUPS},
        "accuracy_by_delay": {"overall": bins, "by_group": {"backward": bins}},
        "ttft_seconds": 0.01,
        "ttft_low_seconds": 0.008,
        "ttft_high_seconds": 0.02,
    }


def document(*scores):
    return {"reference": "hermes", "scores": list(scores)}


@pytest.mark.parametrize("budgets", [(138,), (70, 138, 276)])
@pytest.mark.parametrize("reach", [0.1, None])
def test_figures_are_written(tmp_path, budgets, reach):
    every = [
        entry(policy, budget, value, reach=reach)
        for policy, value in (("hermes", 0.8), ("hermes:summarize=false,reindex=eager", 0.7), ("window", 0.5))
        for budget in budgets
    ]
    paths = comparison.plot(document(*every, entry("full", None, 0.9)), tmp_path)
    assert [path.name for path in paths] == ["budget.png", "ttft.png", "delay.png"]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_axes_are_labelled_and_bars_drawn():
    every = [entry("hermes", 138, 0.8), entry("window", 138, 0.5)]
    figures: list[Figure] = [
        comparison._against_budget(every, "hermes"),
        comparison._against_delay(every, "hermes"),
        comparison._against_ttft(every, "hermes"),
    ]
    for figure in figures:
        shown = [axes for axes in figure.axes if axes.get_visible()]
        assert shown
        assert all(axes.containers for axes in shown)
        labels = [axes.get_xlabel() for axes in shown] + [str(figure.get_supxlabel())]
        assert any(labels)
    first = figures[0].axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["window", "hermes"]


def test_without_backward_questions_there_is_no_delay(tmp_path):
    one = entry("a", 9, 0.5)
    one["accuracy_by_delay"] = {"overall": [], "by_group": {}}
    one["accuracy_by_group"] = {}
    assert [path.name for path in comparison.plot(document(one), tmp_path)] == ["budget.png", "ttft.png"]
    assert comparison.plot(document(), tmp_path) == []


def test_long_names_are_broken_after_commas():
    name = "hermes:smoothing_match=index,smoothing_recursive=true,trigger_counts_prefix=true"
    lines = comparison._wrapped(name).splitlines()
    assert "".join(lines) == name
    assert all(line.endswith(",") for line in lines[:-1])
    assert comparison._wrapped("window") == "window"


def test_points_without_a_bar_are_hollow_and_the_title_counts():
    every = [entry("hermes", 138, 0.8), entry("window", 138, 1.0, reach=None)]
    figure = comparison._against_budget(every, "hermes")
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert {line.get_markerfacecolor() == "white" for line in lines} == {True, False}
    manifest = {"model": "tiny", "num_questions": 18, "num_videos": 9}
    assert comparison._about({"manifest": manifest}) == "tiny, 18 questions about 9 videos; "
