"""Scores against numbers worked out by hand, and the bootstrap against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from tests.lab.episodes import prediction

from hermes_lab.evaluation import score
from hermes_lab.evaluation.scoring import delay_edges


def run_of(rights_by_video, **asked):
    return [
        prediction(right, video=video, **asked)
        for video, rights in rights_by_video.items()
        for right in rights
    ]


def test_accuracy_and_number():
    report = score(
        [
            *run_of({"a": [True, False], "b": [True, True]}, kind="first"),
            *run_of({"a": [False]}, kind="now_what"),
            *run_of({"c": [True]}, kind="before"),
        ]
    )
    assert (report.overall.accuracy, report.overall.num_questions) == (pytest.approx(4 / 6), 6)
    assert {kind: own.accuracy for kind, own in report.by_kind.items()} == {
        "before": 1.0,
        "first": 0.75,
        "now_what": 0.0,
    }
    assert {group: (own.accuracy, own.num_questions) for group, own in report.by_group.items()} == {
        "now": (0.0, 1),
        "backward": (0.8, 5),
    }


def test_kinds_of_benchmarks_are_in_their_groups_and_others_in_none():
    assert list(score(run_of({"a": [True]}, kind="Causal Reasoning")).by_group) == ["now"]
    assert list(score(run_of({"a": [True]}, kind="EPM")).by_group) == ["backward", "recall"]
    assert list(score(run_of({"a": [True]}, kind="HLD")).by_group) == ["backward", "never_shown"]
    assert list(score(run_of({"a": [True]}, kind="place_not_seen")).by_group) == ["never_shown"]
    assert score(run_of({"a": [True]}, kind="no such")).by_group == {}


def bootstrap_loop(rights_by_video, *, seed, num_resamples):
    """Draw videos with replacement, one resample after the other."""
    drawn = np.random.default_rng(seed).multinomial(
        len(rights_by_video), [1 / len(rights_by_video)] * len(rights_by_video), size=num_resamples
    )
    videos = [rights_by_video[video] for video in sorted(rights_by_video)]
    accuracies = []
    for times in drawn:
        pooled = [right for rights, count in zip(videos, times, strict=True) for right in rights * count]
        if pooled:
            accuracies.append(sum(pooled) / len(pooled))
    return np.percentile(accuracies, [2.5, 97.5])


@pytest.mark.parametrize("seed", [0, 7])
def test_the_interval_is_that_of_a_plain_bootstrap_of_videos(seed):
    rng = np.random.default_rng(3)
    rights = {f"{k:02d}": [bool(r) for r in rng.random(rng.integers(1, 6)) < 0.6] for k in range(12)}
    own = score(run_of(rights), seed=seed, num_resamples=500).overall
    assert (own.low, own.high) == pytest.approx(tuple(bootstrap_loop(rights, seed=seed, num_resamples=500)))
    assert own.low < own.accuracy < own.high


def test_the_interval_of_a_part_draws_from_all_videos():
    rights = {"a": [True, False, True], "b": [False], "c": [True, True]}
    other = run_of({"d": [True], "e": [False]}, kind="before")
    own = score([*run_of(rights), *other], num_resamples=400).by_kind["first"]
    expected = bootstrap_loop(rights | {"d": [], "e": []}, seed=0, num_resamples=400)
    assert (own.low, own.high) == pytest.approx(tuple(expected))


def test_videos_are_drawn_and_not_questions():
    # Each video is all right or all wrong: 100 questions tell no more than their 4 videos.
    rights = {str(k): [k % 2 == 0] * 25 for k in range(4)}
    own = score(run_of(rights)).overall
    assert (own.low, own.high) == (0.0, 1.0)
    even = {str(k): [True, False] * 12 for k in range(4)}
    own = score(run_of(even)).overall
    assert (own.low, own.high) == (0.5, 0.5)


def test_more_videos_narrow_the_interval():
    def width(num_videos):
        rng = np.random.default_rng(0)
        own = score(run_of({str(k): [bool(rng.random() < 0.5)] for k in range(num_videos)})).overall
        return own.high - own.low

    # Of n answers with p = 0.5: 2 * 1.96 * sqrt(0.25 / n).
    assert width(100) == pytest.approx(0.196, abs=0.02)
    assert width(400) == pytest.approx(0.098, abs=0.01)


def test_one_video_has_no_interval():
    report = score([*run_of({"a": [True, False]}), *run_of({"b": [True]}, kind="before")])
    assert (report.by_kind["first"].low, report.by_kind["first"].high) == (None, None)
    assert report.overall.low is not None


def test_resamples_that_miss_every_video_of_a_kind_give_no_interval():
    asked = [
        *run_of({str(k): [True] for k in range(200)}),
        *run_of({"1": [True], "2": [False]}, kind="before"),
    ]
    missing = [s for s in range(20) if score(asked, seed=s, num_resamples=1).by_kind["before"].low is None]
    assert missing


def test_the_seed_decides():
    rights = {str(k): [k % 3 == 0] * (1 + k % 7) for k in range(60)}
    one, same, other = (score(run_of(rights), seed=seed).overall for seed in (1, 1, 2))
    assert one == same != other


def test_the_order_of_predictions_does_not_matter():
    given = run_of({str(k): [k % 3 == 0, k % 2 == 0] for k in range(10)})
    assert score(given) == score(given[::-1])


def test_nothing_to_score():
    with pytest.raises(ValueError, match="no predictions"):
        score([])


@pytest.mark.parametrize(
    ("longest", "edges"),
    [
        (0.0, [0, 5]),
        (4.9, [0, 5]),
        (5.0, [0, 5, 10]),
        (47.0, [0, 5, 10, 20, 40, 80]),
        (100.0, [0, 5, 10, 20, 40, 80, 160]),
    ],
)
def test_edges_of_delay_double(longest, edges):
    assert delay_edges(longest) == edges


def test_accuracy_against_delay():
    def asked(delay, right, **more):
        return prediction(right, at=100.0, evidence=[(0.0, 100.0 - delay)], **more)

    report = score(
        [
            asked(0, True),
            asked(4.9, False),
            asked(5, True),
            asked(25, False),
            asked(39, True, kind="before", video="b"),
            asked(-3, True),  # evidence that still shows after the question
            prediction(True),  # no evidence
        ]
    )
    assert [
        (one.from_seconds, one.until_seconds, one.score.num_questions, one.score.accuracy)
        for one in report.by_delay
    ] == [(0, 5, 3, pytest.approx(2 / 3)), (5, 10, 1, 1.0), (20, 40, 2, 0.5)]
    assert report.by_delay[-1].score.low is not None
    assert [one.score.num_questions for one in report.by_delay_of_kind["first"]] == [3, 1, 1]
    assert [one.from_seconds for one in report.by_delay_of_kind["before"]] == [20]
    assert [one.score.num_questions for one in report.by_delay_of_group["backward"]] == [3, 1, 2]


def test_without_evidence_there_is_no_delay():
    report = score(run_of({"a": [True], "b": [False]}))
    assert report.by_delay == []
    assert report.by_delay_of_kind == report.by_delay_of_group == {}


@pytest.mark.parametrize(
    ("num_videos", "told"),
    [
        (1, "1 video is too few, at least 5 are needed"),
        (4, "4 videos are too few, at least 5 are needed"),
        (5, None),
        (9, None),
    ],
)
def test_a_few_videos_are_too_few_for_an_interval(num_videos, told):
    own = score(run_of({str(k): [True, False] for k in range(num_videos)})).overall
    assert (own.num_videos, own.no_interval) == (num_videos, told)
