"""From runs to scores: always right, always wrong, pairs, seeds, delays, policies that are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.lab.episodes import episode, question

from hermes_lab.cli.results import run_scores
from hermes_lab.datasets.task_groups import GROUPS, group_of
from hermes_lab.evaluation import Graded, Prediction, Reply, Run, RunKey, score
from hermes_lab.evaluation.bootstrap import Bootstrap
from hermes_lab.evaluation.comparison_scores import compare_scores, skipped_policies
from hermes_lab.evaluation.grading import grade
from hermes_lab.evaluation.scorers import strict
from hermes_stream.synthetic.questions import ALL_KINDS, FURTHER_GROUPS, KIND_GROUPS

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


def run_of(one, policy, right, *, budget_tokens=138, seed=None, took_seconds=0.0, **held):
    """A run whose answers are right where ``right`` says so of video and kind."""
    predictions = []
    for asked in one.questions:
        index = asked.answer_index if right(one.video, asked.kind) else asked.answer_index + 1
        reply = Reply(text="x", option_index=index, ttft_seconds=0.01, **held)
        predictions.append(
            Prediction(
                video=one.video, question=asked, reply=reply, at_seconds=50.0, took_seconds=took_seconds
            )
        )
    return Run(key=RunKey(one.video, policy, budget_tokens, seed), predictions=tuple(predictions))


def watched(policy, right, **fields):
    return [run_of(one, policy, right, **fields) for one in episodes()]


def always(*_):
    return True


def never(*_):
    return False


def test_always_right_and_always_wrong():
    gold, lead = compare_scores(
        episodes(), watched("gold", always) + watched("lead", never), reference="lead"
    )
    assert (gold.policy, gold.report.overall.accuracy, lead.report.overall.accuracy) == ("gold", 1, 0)
    assert (gold.report.overall.low, gold.report.overall.high) == (1, 1)
    assert gold.report.overall.num_questions == 24
    assert gold.report.overall.difference.value == gold.report.overall.difference.low == 1
    assert lead.report.overall.difference is None
    assert {name: part.num_questions for name, part in gold.report.by_group.items()} == {
        "now": 6,
        "backward": 12,
        "counting": 6,
    }
    assert all(part.accuracy == 1 for part in gold.report.by_kind.values())
    assert set(gold.report.by_kind) == set(KINDS)
    assert 0 < gold.report.overall.chance <= 1


def test_groups_hold_their_own_questions():
    (one,) = compare_scores(episodes(), watched("now", lambda _, kind: kind == "now_what"), reference="now")
    assert {name: part.accuracy for name, part in one.report.by_group.items()} == {
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

    one, two = compare_scores(episodes(), watched("a", good) + watched("b", better), reference="a")
    assert one.report.overall.high - one.report.overall.low > 0.4
    difference = two.report.overall.difference
    assert difference.value == pytest.approx(0.125)
    rights = np.repeat([0.0, 1.0] * 3, 4)
    firsts = np.tile([0.0, 1.0, 0.0, 0.0], 6)
    expected = Bootstrap(np.repeat(np.arange(6), 4), seed=0).difference(np.maximum(rights, firsts), rights)
    assert difference == expected


def test_seeds_are_means():
    runs = watched("random", always, seed=0) + watched("random", never, seed=1)
    (one,) = compare_scores(episodes(), runs, reference="random")
    assert (one.num_seeds, one.report.overall.accuracy) == (2, 0.5)
    assert one.report.overall.low == one.report.overall.high == 0.5
    assert one.report.overall.num_questions == 24


def test_the_reference_has_the_same_budget():
    runs = [
        *watched("a", never, budget_tokens=10),
        *watched("a", always, budget_tokens=20),
        *watched("b", always, budget_tokens=10),
        *watched("b", always, budget_tokens=20),
        *watched("full", always, budget_tokens=None),
    ]
    found = {(one.policy, one.budget_tokens): one for one in compare_scores(episodes(), runs, reference="a")}
    assert found["b", 10].report.overall.difference.value == 1
    assert found["b", 20].report.overall.difference.value == 0
    assert found["full", None].report.overall.difference.value == 0
    assert found["a", 10].report.overall.difference is None
    assert found["a", 20].report.overall.difference is None


def test_delays_are_in_bins_that_double():
    (one,) = compare_scores(episodes(), watched("a", always), reference="a")
    bins = [(own.from_seconds, own.until_seconds, own.score.num_questions) for own in one.report.by_delay]
    assert bins == [(0, 5, 12), (5, 10, 6), (10, 20, 6)]
    assert [own.score.num_questions for own in one.report.by_delay_of_group["backward"]] == [6, 6]
    assert [own.from_seconds for own in one.report.by_delay_of_group["counting"]] == [10]


def test_delays_reach_from_seconds_to_hours():
    asked = [question(at=10_000.0, name=str(k), evidence=[(0, 10_000 - 3.0**k)]) for k in range(9)]
    (one,) = compare_scores(
        [episode(*asked)], [run_of(episode(*asked), "a", always)], reference="a", num_resamples=10
    )
    edges = [(own.from_seconds, own.until_seconds) for own in one.report.by_delay_of_group["backward"]]
    assert edges[0] == (0, 5)
    assert edges[-1] == (5120, 10240)
    assert all(high == 2 * low for low, high in edges[1:])
    assert sum(own.score.num_questions for own in one.report.by_delay_of_group["backward"]) == 9


def test_without_evidence_there_is_no_delay():
    one = episode(question(kind="OCR"))
    (found,) = compare_scores([one], [run_of(one, "a", always)], reference="a")
    assert found.report.by_delay == []
    assert found.report.by_delay_of_group == {}
    assert found.report.by_group["now"].low is None


def test_what_could_not_watch_every_video_is_left_out():
    runs = [
        *watched("hermes", always),
        *watched("full", always, budget_tokens=None)[:5],
        Run(key=RunKey("5.mp4", "full", None, None), skipped="too long"),
    ]
    assert [one.policy for one in compare_scores(episodes(), runs, reference="hermes")] == ["hermes"]
    (skipped,) = skipped_policies(runs)
    assert (skipped.policy, skipped.num_videos, skipped.reason) == ("full", 1, "too long")


def test_missing_answers_are_an_error():
    with pytest.raises(ValueError, match=r"a has 0 answers to the 4 questions about 5.mp4"):
        compare_scores(episodes(), watched("a", always)[:5], reference="a")


def test_costs():
    runs = watched("a", always, cache_bytes=7, host_bytes=3, num_visual_tokens_kept=5, took_seconds=2.0)
    (one,) = compare_scores(episodes(), runs, reference="a")
    assert (one.cache_bytes, one.host_bytes, one.num_visual_tokens_kept) == (7, 3, 5)
    assert (one.ttft_seconds, one.ttft_low_seconds, one.took_seconds) == (0.01, 0.01, 2.0)


def test_answers_without_a_first_token_do_not_count_as_fast():
    runs = [
        replace(run, predictions=(replace(first, reply=Reply(text="No")), *others))
        for run in watched("a", always)
        for first, *others in [run.predictions]
    ]
    (one,) = compare_scores(episodes(), runs, reference="a")
    assert one.ttft_low_seconds == one.ttft_seconds == 0.01
    graded = grade([one for run in runs for one in run.predictions], strict)
    assert run_scores(graded, seed=0)["ttft_seconds"] == 0.01
    without = grade([run.predictions[0] for run in runs], strict)
    assert run_scores(without, seed=0)["ttft_seconds"] is None


def test_every_kind_of_the_world_has_its_group():
    assert {kind: group_of(kind) for kind in ALL_KINDS} == {
        kind: group for group, kinds in (KIND_GROUPS | FURTHER_GROUPS).items() for kind in kinds
    }
    assert (group_of("EPM"), group_of("OJR"), group_of("Counting")) == ("backward", "now", "now")
    assert group_of("no such") is None
    apart = {"recall", "never_shown"}
    kinds = [kind for group, own in GROUPS.items() if group not in apart for kind in own]
    assert len(set(kinds)) == len(kinds)


def test_what_was_shown_and_what_never_was_are_told_apart():
    assert not set(GROUPS["recall"]) & set(GROUPS["never_shown"])
    assert set(GROUPS["backward"]) & set(GROUPS["recall"]) == {"EPM", "ASI"}
    assert set(GROUPS["backward"]) & set(GROUPS["never_shown"]) == {"HLD"}


def test_one_policy_scores_as_it_does_alone():
    def some(video, kind):
        return (int(video[0]) + len(kind)) % 3 > 0

    (one,) = compare_scores(episodes(), watched("a", some), reference="a", seed=3)
    alone = score([one for run in watched("a", some) for one in run.predictions], seed=3)
    assert one.report == alone
    assert one.averages["questions"] == alone.overall.accuracy


def test_what_cannot_be_graded_for_one_is_counted_for_none():
    runs = watched("a", always) + watched("b", never)

    def grader(predictions):
        grades = [one.is_right for one in predictions]
        grades[0] = None if grades[0] else grades[0]
        return Graded(predictions=predictions, grades=grades)

    for one in compare_scores(episodes(), runs, reference="a", grader=grader):
        assert (one.report.overall.num_questions, one.num_unscored) == (23, 1)

    def judged_none(predictions):
        return Graded(predictions=predictions, grades=[None] * len(predictions))

    assert compare_scores(episodes(), runs, reference="a", grader=judged_none) == []
