"""Scores of standing questions, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from hermes_lab.evaluation.event_matching import Told, match_events
from hermes_lab.evaluation.watch_scores import WatchOutcome, f1_difference, scores


def outcome(story: str, due: list[float], told: list[float], condition: str = "appears") -> WatchOutcome:
    return WatchOutcome(
        story=story,
        scene="still",
        condition=condition,
        comes=bool(due),
        matching=match_events([Told(seconds=one) for one in due], [Told(seconds=one) for one in told]),
        watched_seconds=1800.0,
        num_polls=100,
    )


def test_by_hand():
    found = scores(
        [
            outcome("a", [10, 20, 30], [10, 21, 50]),
            outcome("a", [], [7], "quiet"),
            outcome("b", [5], [7], "quiet"),
        ]
    )
    # right: 10, 21, 7; missed: 30; false: 50, 7
    assert found["precision"] == pytest.approx(3 / 5)
    assert found["recall"] == pytest.approx(3 / 4)
    assert found["f1"] == pytest.approx(6 / 9)
    assert found["false_alarms_per_hour"] == pytest.approx(2 / 1.5)
    assert found["delay_seconds"]["median"] == 1.0
    assert found["polls_per_event"] == pytest.approx(300 / 5)
    assert (found["num_early"], found["num_late"], found["num_invented"]) == (0, 1, 1)
    assert found["by_condition"]["quiet"]["f1"] == pytest.approx(2 / 3)
    assert found["never_comes"] == {
        "num_watches": 1,
        "watch_hours": 0.5,
        "false_alarms_per_hour": 2.0,
        "num_false": 1,
        "intervals": None,
    }
    assert found["intervals"] is None  # of two stories


def test_nobody_who_says_nothing_has_a_score_of_numbers_that_are_none():
    found = scores([outcome("a", [3], []), outcome("b", [], [])])
    assert (found["precision"], found["recall"], found["f1"]) == (None, 0.0, 0.0)
    assert found["polls_per_event"] is None


def test_intervals_hold_the_score_and_are_none_wide_where_all_stories_are_alike():
    alike = [outcome(f"story {k}", [10, 20], [10, 40]) for k in range(6)]
    found = scores(alike)
    assert found["intervals"]["f1"] == pytest.approx([0.5, 0.5])
    mixed = scores([*alike, *(outcome(f"other {k}", [10], [10]) for k in range(6))])
    low, high = mixed["intervals"]["f1"]
    assert low < mixed["f1"] < high


def test_a_difference_is_paired_by_story():
    own = [outcome(f"{k}", [10], [10]) for k in range(6)]
    other = [outcome(f"{k}", [10], [10] if k % 2 else [11, 30]) for k in range(6)]
    assert f1_difference(own, own) == {"value": 0.0, "low": 0.0, "high": 0.0}
    found = f1_difference(own, other)
    assert found["value"] == pytest.approx(1 - 12 / 15)
    assert 0 <= found["low"] < found["value"] < found["high"]
