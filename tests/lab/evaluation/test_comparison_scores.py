"""From runs to standings: always right, always wrong, pairs, seeds, delays, memories that are left out."""

from __future__ import annotations

import numpy as np
import pytest
from tests.lab.episodes import episode, question

from hermes_lab.datasets.task_groups import GROUPS, group_of
from hermes_lab.evaluation.bootstrap import Bootstrap
from hermes_lab.evaluation.comparison_scores import skipped_of, standings
from hermes_lab.evaluation.runs import Given, Run, digest_of
from hermes_stream.synthetic.questions import KIND_GROUPS, QUESTION_KINDS

KINDS = ("now_what", "first", "before", "counting")
DELAYS = {"now_what": -1.0, "first": 3.0, "before": 7.0, "counting": 15.0}


def episodes(num_videos=6):
    return [
        episode(
            *(
                question(
                    kind=kind, at=50.0, name=f"{v}/{kind}", evidence=[(0.0, 50.0 - DELAYS[kind]), (0.0, 50.0)]
                )
                for kind in KINDS
            ),
            video=f"{v}.mp4",
        )
        for v in range(num_videos)
    ]


def run_of(one, policy, right, *, budget_tokens=138, seed=None, **fields):
    """A run whose answers are right where ``right`` says so of video and kind."""
    given = tuple(
        Given(
            question_id=asked.question_id,
            is_right=bool(right(one.video, asked.kind)),
            answer="x",
            option_index=0,
            ttft_seconds=0.01,
        )
        for asked in one.questions
    )
    return Run(
        video=one.video,
        questions=digest_of(one),
        policy=policy,
        budget_tokens=budget_tokens,
        seed=seed,
        given=given,
        **fields,
    )


def watched(policy, right, **fields):
    return [run_of(one, policy, right, **fields) for one in episodes()]


def always(*_):
    return True


def never(*_):
    return False


def test_always_right_and_always_wrong():
    gold, lead = standings(episodes(), watched("gold", always) + watched("lead", never), reference="lead")
    assert (gold.policy, gold.overall.accuracy.value, lead.overall.accuracy.value) == ("gold", 1, 0)
    assert (gold.overall.accuracy.low, gold.overall.accuracy.high) == (1, 1)
    assert gold.overall.num_questions == 24
    assert gold.overall.difference.value == gold.overall.difference.low == 1
    assert lead.overall.difference is None
    assert {name: part.num_questions for name, part in gold.by_group.items()} == {
        "now": 6,
        "backward": 12,
        "counting": 6,
    }
    assert all(part.accuracy.value == 1 for part in gold.by_kind.values())
    assert set(gold.by_kind) == set(KINDS)
    assert 0 < gold.overall.chance <= 1


def test_groups_hold_their_own_questions():
    (one,) = standings(episodes(), watched("now", lambda _, kind: kind == "now_what"), reference="now")
    assert {name: part.accuracy.value for name, part in one.by_group.items()} == {
        "now": 1,
        "backward": 0,
        "counting": 0,
    }


def test_differences_pair_questions_of_one_video():
    """Both fail on the same videos: the difference is sure, though each accuracy is not."""

    def good(video, kind):
        return int(video[0]) % 2

    def better(video, kind):
        return int(video[0]) % 2 or kind == "first"

    one, two = standings(episodes(), watched("a", good) + watched("b", better), reference="a")
    assert one.overall.accuracy.high - one.overall.accuracy.low > 0.4
    difference = two.overall.difference
    assert difference.value == pytest.approx(0.125)
    rights = np.repeat([0.0, 1.0] * 3, 4)
    firsts = np.tile([0.0, 1.0, 0.0, 0.0], 6)
    expected = Bootstrap(np.repeat(np.arange(6), 4), seed=0).difference(np.maximum(rights, firsts), rights)
    assert difference == expected


def test_seeds_are_means():
    runs = watched("random", always, seed=0) + watched("random", never, seed=1)
    (one,) = standings(episodes(), runs, reference="random")
    assert (one.num_seeds, one.overall.accuracy.value) == (2, 0.5)
    assert one.overall.accuracy.low == one.overall.accuracy.high == 0.5
    assert one.overall.num_questions == 24


def test_the_reference_has_the_same_budget():
    runs = [
        *watched("a", never, budget_tokens=10),
        *watched("a", always, budget_tokens=20),
        *watched("b", always, budget_tokens=10),
        *watched("b", always, budget_tokens=20),
        *watched("full", always, budget_tokens=None),
    ]
    found = {(one.policy, one.budget_tokens): one for one in standings(episodes(), runs, reference="a")}
    assert found["b", 10].overall.difference.value == 1
    assert found["b", 20].overall.difference.value == 0
    assert found["full", None].overall.difference.value == 0
    assert found["a", 10].overall.difference is None
    assert found["a", 20].overall.difference is None


def test_delays_are_in_bins_that_double():
    (one,) = standings(episodes(), watched("a", always), reference="a")
    bins = [(own.from_seconds, own.until_seconds, own.part.num_questions) for own in one.by_delay["overall"]]
    assert bins == [(0, 5, 12), (5, 10, 6), (10, 20, 6)]
    assert [own.part.num_questions for own in one.by_delay["backward"]] == [6, 6]
    assert [own.from_seconds for own in one.by_delay["counting"]] == [10]


def test_delays_reach_from_seconds_to_hours():
    asked = [question(at=10_000.0, name=str(k), evidence=[(0, 10_000 - 3.0**k)]) for k in range(9)]
    (one,) = standings(
        [episode(*asked)], [run_of(episode(*asked), "a", always)], reference="a", num_resamples=10
    )
    edges = [(own.from_seconds, own.until_seconds) for own in one.by_delay["backward"]]
    assert edges[0] == (0, 5)
    assert edges[-1] == (5120, 10240)
    assert all(high == 2 * low for low, high in edges[1:])
    assert sum(own.part.num_questions for own in one.by_delay["backward"]) == 9


def test_without_evidence_there_is_no_delay():
    one = episode(question(kind="OCR"))
    (found,) = standings([one], [run_of(one, "a", always)], reference="a")
    assert found.by_delay == {"overall": [], "now": []}
    assert found.by_group["now"].accuracy.low is None


def test_what_could_not_watch_every_video_is_left_out():
    runs = [
        *watched("hermes", always),
        *watched("full", always, budget_tokens=None)[:5],
        Run(video="5.mp4", questions="", policy="full", budget_tokens=None, seed=None, skipped="too long"),
    ]
    assert [one.policy for one in standings(episodes(), runs, reference="hermes")] == ["hermes"]
    (skipped,) = skipped_of(runs)
    assert (skipped.policy, skipped.num_videos, skipped.reason) == ("full", 1, "too long")


def test_missing_answers_are_an_error():
    with pytest.raises(ValueError, match=r"a has 0 answers to the 4 questions about 5.mp4"):
        standings(episodes(), watched("a", always)[:5], reference="a")


def test_costs():
    runs = watched("a", always, cache_bytes=7, host_bytes=3, num_visual_tokens_kept=5, took_seconds=2.0)
    (one,) = standings(episodes(), runs, reference="a")
    assert (one.cache_bytes, one.host_bytes, one.num_visual_tokens_kept) == (7, 3, 5)
    assert (one.ttft_seconds, one.ttft_low_seconds, one.took_seconds) == (0.01, 0.01, 2.0)


def test_every_kind_of_the_world_has_its_group():
    assert {kind: group_of(kind) for kind in QUESTION_KINDS} == {
        kind: group for group, kinds in KIND_GROUPS.items() for kind in kinds
    }
    assert (group_of("EPM"), group_of("OJR"), group_of("Counting")) == ("backward", "now", "now")
    assert group_of("no such") is None
    kinds = [kind for own in GROUPS.values() for kind in own]
    assert len(set(kinds)) == len(kinds)
