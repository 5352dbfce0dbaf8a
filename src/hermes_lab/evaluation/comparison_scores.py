"""From the runs of several policies to what each scores, and by how much it differs from one of them.

Intervals are those of a bootstrap over videos that draws alike for all policies. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from hermes_lab.datasets.episode import Episode
from hermes_lab.evaluation.bootstrap import NUM_RESAMPLES, Floats
from hermes_lab.evaluation.grading import Graded, grade
from hermes_lab.evaluation.predictions import Prediction, Run, first_token_seconds
from hermes_lab.evaluation.scorers import strict
from hermes_lab.evaluation.scoring import Report, ScoredQuestions
from hermes_lab.evaluation.task_averages import averages

Name = tuple[str, int | None]
"""Policy and budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyScores:
    """How a policy does with one budget.

    Attributes:
        policy: as a word of the command line.
        budget_tokens: visual tokens that each layer may keep; None is no bound.
        num_seeds: how often it was drawn.
        num_videos: how many videos it watched.
        num_unscored: questions that some policy's answer leaves neither right nor wrong.
        report: its scores.
        averages: every average that benchmarks publish and these kinds allow.
        ttft_seconds: time to first token, median.
        ttft_low_seconds: its lower quartile.
        ttft_high_seconds: its upper quartile.
        cache_bytes: largest size of a stream's buffers.
        host_bytes: largest size of host memory held for later questions.
        num_visual_tokens_kept: largest number of visual tokens in the fullest layer at a question.
        took_seconds: to watch one video and answer, mean.
    """

    policy: str
    budget_tokens: int | None
    num_seeds: int
    num_videos: int
    num_unscored: int
    report: Report
    averages: dict[str, float]
    ttft_seconds: float
    ttft_low_seconds: float
    ttft_high_seconds: float
    cache_bytes: int
    host_bytes: int
    num_visual_tokens_kept: int
    took_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedPolicy:
    """A policy that could not watch every video, and so is not compared.

    Attributes:
        policy: as a word of the command line.
        budget_tokens: its budget.
        num_videos: how many videos it could not watch.
        reason: why, for the first of them.
    """

    policy: str
    budget_tokens: int | None
    num_videos: int
    reason: str


def skipped_policies(runs: Iterable[Run]) -> list[SkippedPolicy]:
    """Return the policies that are not compared, and why."""
    by_name = _by_name(run for run in runs if run.skipped is not None)
    return [
        SkippedPolicy(
            policy=policy,
            budget_tokens=budget_tokens,
            num_videos=len({run.key.video for run in own}),
            reason=own[0].skipped or "",
        )
        for (policy, budget_tokens), own in by_name.items()
    ]


def _strictly(predictions: Sequence[Prediction]) -> Graded:
    return grade(predictions, strict)


def compare_scores(
    episodes: Sequence[Episode],
    runs: Sequence[Run],
    *,
    reference: str,
    grader: Callable[[Sequence[Prediction]], Graded] = _strictly,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> list[PolicyScores]:
    """Compare policies by their runs, on the questions that can be graded for all of them.

    Args:
        episodes: what was asked; every policy that is not skipped answered all.
        runs: of these videos, policies in the order of the result.
        reference: the policy that others are compared with, unless it is skipped.
        grader: grades the answers of one policy with one budget and seed.
        seed: of the bootstrap.
        num_resamples: how often the bootstrap draws.

    Returns:
        The scores of each policy; none where no question can be graded for all of them.

    Raises:
        ValueError: a policy has not answered all questions.
    """
    left_out = {(one.policy, one.budget_tokens) for one in skipped_policies(runs)}
    by_name = {name: own for name, own in _by_name(runs).items() if name not in left_out}
    graded = {
        name: [grader(answers) for answers in _answers_by_seed(episodes, own)]
        for name, own in by_name.items()
    }
    every = [one for own in graded.values() for one in own]
    can_be_scored = np.array(
        [None not in grades for grades in zip(*(one.grades for one in every), strict=True)]
    )
    if not can_be_scored.any():
        return []
    asked = [one for one, use in zip(every[0].predictions, can_be_scored, strict=True) if use]
    questions = ScoredQuestions(asked, seed=seed, num_resamples=num_resamples)
    rights = {
        name: np.array([one.grades for one in own])[:, can_be_scored].astype(float).mean(axis=0)
        for name, own in graded.items()
    }
    return [
        PolicyScores(
            policy=policy,
            budget_tokens=budget_tokens,
            num_seeds=len(graded[policy, budget_tokens]),
            num_videos=len(episodes),
            num_unscored=int((~can_be_scored).sum()),
            report=questions.report(
                own, rights.get(_reference_of((policy, budget_tokens), reference, rights))
            ),
            averages=averages(_by_kind(asked, own)),
            **_costs(by_name[policy, budget_tokens]),
        )
        for (policy, budget_tokens), own in rights.items()
    ]


def _by_kind(asked: Sequence[Prediction], rights: Floats) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one, right in zip(asked, rights.tolist(), strict=True):
        found.setdefault(one.question.kind, []).append(right)
    return found


def _by_name(runs: Iterable[Run]) -> dict[Name, list[Run]]:
    found: dict[Name, list[Run]] = {}
    for run in runs:
        found.setdefault((run.key.policy, run.key.budget_tokens), []).append(run)
    return found


def _reference_of(name: Name, reference: str, names: Collection[Name]) -> Name:
    """Return what to compare with: the same budget; for a policy without one, the largest."""
    budgets = [budget or 0 for policy, budget in names if policy == reference]
    own = (reference, name[1])
    found = own if own in names else (reference, max(budgets, default=0))
    return found if found != name else ("", None)


def _answers_by_seed(episodes: Sequence[Episode], runs: Sequence[Run]) -> list[list[Prediction]]:
    """Return the answers with each seed, in the order of the questions."""
    by_seed: dict[int | None, dict[str, Run]] = {}
    for run in runs:
        by_seed.setdefault(run.key.seed, {})[run.key.video] = run
    for own in by_seed.values():
        for episode in episodes:
            run_of = own.get(episode.name)
            answered = () if run_of is None else run_of.predictions
            if [one.question for one in answered] != list(episode.questions):
                raise ValueError(
                    f"{runs[0].key.policy} has {len(answered)} answers to the {len(episode.questions)} "
                    f"questions about {episode.name}; let it watch that video"
                )
    return [
        [one for episode in episodes for one in own[episode.name].predictions] for own in by_seed.values()
    ]


def _costs(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what a policy takes, by the names of the fields of its scores."""
    replies = [one.reply for run in runs for one in run.predictions]
    first = first_token_seconds(one for run in runs for one in run.predictions)
    low, middle, high = np.percentile(first or [0.0], (25, 50, 75)).tolist()
    largest = ("cache_bytes", "host_bytes", "num_visual_tokens_kept")
    return {
        "ttft_seconds": middle,
        "ttft_low_seconds": low,
        "ttft_high_seconds": high,
        **{name: max(getattr(one, name) for one in replies) for name in largest},
        "took_seconds": fmean(max(one.took_seconds for one in run.predictions) for run in runs),
    }
