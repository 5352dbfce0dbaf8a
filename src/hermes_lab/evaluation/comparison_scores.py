"""From the runs of a comparison to what each memory scores, and by how much it differs from one of them.

Intervals are those of a bootstrap over videos; all contestants are drawn alike. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import final

import numpy as np
from numpy.typing import NDArray

from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.task_groups import GROUPS, group_of
from hermes_lab.evaluation.bootstrap import NUM_RESAMPLES, Booleans, Bootstrap, Estimate, Floats
from hermes_lab.evaluation.chance import Guesser
from hermes_lab.evaluation.runner import Prediction, Reply
from hermes_lab.evaluation.runs import Run
from hermes_lab.evaluation.scoring import delay_edges

Name = tuple[str, int | None]
"""Policy and budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How a memory does on some of the questions.

    Attributes:
        accuracy: share of right answers, mean over seeds.
        difference: accuracy minus that of the reference with the same budget; None for the reference itself.
        chance: what a guesser who saw nothing would score.
        num_questions: how many there are.
    """

    accuracy: Estimate
    difference: Estimate | None
    chance: float
    num_questions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayPart:
    """How a memory does on questions whose evidence was seen about equally long ago.

    Attributes:
        from_seconds: least delay, included.
        until_seconds: most delay, excluded.
        part: those questions.
    """

    from_seconds: float
    until_seconds: float
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a memory does in a comparison.

    Attributes:
        policy: as a word of the command line.
        budget_tokens: visual tokens that each layer may keep; None is no bound.
        num_seeds: how often it was drawn.
        num_videos: how many videos it watched.
        overall: on all questions.
        by_group: on the present, on the past, on counts; groups without questions are missing.
        by_kind: on each kind of question, in alphabetical order.
        by_delay: by "overall" and group, against delay.
        ttft_seconds: time to first token, median.
        ttft_low_seconds: its lower quartile.
        ttft_high_seconds: its upper quartile.
        cache_bytes: most bytes of a stream's buffers.
        host_bytes: most bytes of host memory held for questions to come.
        num_visual_tokens_kept: most visual tokens in the fullest layer at a question.
        took_seconds: to watch one video and answer, mean.
    """

    policy: str
    budget_tokens: int | None
    num_seeds: int
    num_videos: int
    overall: Part
    by_group: dict[str, Part]
    by_kind: dict[str, Part]
    by_delay: dict[str, list[DelayPart]]
    ttft_seconds: float
    ttft_low_seconds: float
    ttft_high_seconds: float
    cache_bytes: int
    host_bytes: int
    num_visual_tokens_kept: int
    took_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A memory that could not watch every video, and so is not compared.

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


def skipped_of(runs: Iterable[Run]) -> list[Skipped]:
    """Return the memories that are not compared, and why."""
    found: dict[Name, list[Run]] = {}
    for run in runs:
        if run.skipped is not None:
            found.setdefault((run.policy, run.budget_tokens), []).append(run)
    return [
        Skipped(
            policy=policy,
            budget_tokens=budget_tokens,
            num_videos=len({run.video for run in own}),
            reason=own[0].skipped or "",
        )
        for (policy, budget_tokens), own in found.items()
    ]


def standings(
    episodes: Sequence[Episode],
    runs: Iterable[Run],
    *,
    reference: str,
    short_answers: bool = False,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> list[Standing]:
    """Compare memories by their runs.

    Args:
        episodes: what was asked, at least one question; every memory that is not skipped answered all.
        runs: of these videos, contestants in the order in which they shall stand.
        reference: the policy that others are compared with, where it was not skipped.
        short_answers: questions were asked without their options.
        seed: of the bootstrap.
        num_resamples: how often the bootstrap draws.

    Raises:
        ValueError: a memory has not answered all questions.
    """
    runs = list(runs)
    left_out = {(one.policy, one.budget_tokens) for one in skipped_of(runs)}
    by_name: dict[Name, list[Run]] = {}
    for run in runs:
        if (run.policy, run.budget_tokens) not in left_out:
            by_name.setdefault((run.policy, run.budget_tokens), []).append(run)
    rights = {name: _rights(episodes, own) for name, own in by_name.items()}
    judge = _Judge(episodes, short_answers=short_answers, seed=seed, num_resamples=num_resamples)
    return [
        judge.standing(name, own, rights[name], rights.get(_reference_of(name, reference, rights)))
        for name, own in by_name.items()
    ]


def _reference_of(name: Name, reference: str, rights: Mapping[Name, Floats]) -> Name:
    """Return what to compare with: the same budget, for a memory without one the largest."""
    budgets = [budget or 0 for policy, budget in rights if policy == reference]
    own = (reference, name[1])
    found = own if own in rights else (reference, max(budgets, default=0))
    return found if found != name else ("", None)


def _rights(episodes: Sequence[Episode], runs: Sequence[Run]) -> Floats:
    """Return how often each question was answered right, mean over seeds."""
    by_seed: dict[int | None, dict[str, Run]] = {}
    for run in runs:
        by_seed.setdefault(run.seed, {})[run.video] = run
    rows = []
    for own in by_seed.values():
        for episode in episodes:
            run_of = own.get(episode.name)
            given = () if run_of is None else run_of.given
            if [one.question_id for one in given] != [one.question_id for one in episode.questions]:
                raise ValueError(
                    f"{runs[0].policy} has {len(given)} answers to the {len(episode.questions)} questions "
                    f"about {episode.name}; let it watch that video"
                )
        rows.append([float(one.is_right) for episode in episodes for one in own[episode.name].given])
    return np.array(rows).mean(axis=0)


@final
class _Judge:
    """The questions of a comparison, sorted in all ways in which they are reported."""

    def __init__(
        self, episodes: Sequence[Episode], *, short_answers: bool, seed: int, num_resamples: int
    ) -> None:
        asked = [(episode.video, one) for episode in episodes for one in episode.questions]
        self._bootstrap = Bootstrap([video for video, _ in asked], seed=seed, num_resamples=num_resamples)
        self._guesser = Guesser([_unanswered(one, short_answers=short_answers) for _, one in asked])
        kinds = np.array([one.kind for _, one in asked])
        groups = np.array([group_of(one.kind) or "" for _, one in asked])
        self._all = np.ones(len(asked), dtype=bool)
        self._of_kind = {str(kind): kinds == kind for kind in np.unique(kinds)}
        self._of_group = {group: groups == group for group in GROUPS if (groups == group).any()}
        self._delays = np.array([_delay_seconds(one) for _, one in asked])

    def standing(self, name: Name, runs: Sequence[Run], rights: Floats, others: Floats | None) -> Standing:
        """Return how one memory does; ``others`` is the reference."""

        def part(chosen: Booleans) -> Part:
            return self._part(rights, others, chosen)

        parts = {"overall": self._all} | self._of_group
        ttft = np.array([one.ttft_seconds for run in runs for one in run.given])
        low, middle, high = (float(value) for value in np.percentile(ttft, (25, 50, 75)))
        return Standing(
            policy=name[0],
            budget_tokens=name[1],
            num_seeds=len({run.seed for run in runs}),
            num_videos=len({run.video for run in runs}),
            overall=part(self._all),
            by_group={group: part(chosen) for group, chosen in self._of_group.items()},
            by_kind={kind: part(chosen) for kind, chosen in self._of_kind.items()},
            by_delay={group: self._by_delay(chosen, part) for group, chosen in parts.items()},
            ttft_seconds=middle,
            ttft_low_seconds=low,
            ttft_high_seconds=high,
            cache_bytes=max(run.cache_bytes for run in runs),
            host_bytes=max(run.host_bytes for run in runs),
            num_visual_tokens_kept=max(run.num_visual_tokens_kept for run in runs),
            took_seconds=float(np.mean([run.took_seconds for run in runs])),
        )

    def _part(self, rights: Floats, others: Floats | None, chosen: Booleans) -> Part:
        return Part(
            accuracy=self._bootstrap.mean(rights, chosen),
            difference=None if others is None else self._bootstrap.difference(rights, others, chosen),
            chance=self._guesser.chance(chosen),
            num_questions=int(chosen.sum()),
        )

    def _by_delay(self, chosen: Booleans, part: Callable[[Booleans], Part]) -> list[DelayPart]:
        seen = ~np.isnan(self._delays)
        if not (seen & chosen).any():
            return []
        found = []
        for low, high in pairwise(delay_edges(float(self._delays[seen & chosen].max()))):
            own: NDArray[np.bool_] = chosen & seen & (self._delays >= low) & (self._delays < high)
            if own.any():
                found.append(DelayPart(from_seconds=low, until_seconds=high, part=part(own)))
        return found


def _delay_seconds(question: EvalQuestion) -> float:
    delay_seconds = question.delay_seconds
    return math.nan if delay_seconds is None else max(delay_seconds, 0.0)


def _unanswered(question: EvalQuestion, *, short_answers: bool) -> Prediction:
    """Return a question as the guesser takes it, with options or without."""
    if short_answers:
        question = replace(question, options=(), answer_index=None)
    reply = Reply(text="", option_index=0 if question.options else None)
    return Prediction(video="", question=question, reply=reply, at_seconds=question.asked_seconds)
