"""From predictions to scores: by kind, by group of kinds, and by how long ago the evidence was seen.

Intervals hold 95 % of a bootstrap that draws whole videos, as questions about one video succeed or fail
together. Pure functions; the same predictions and seed give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from hermes_lab.datasets.task_groups import GROUPS
from hermes_lab.evaluation.bootstrap import MIN_VIDEOS, NUM_RESAMPLES, Booleans, Bootstrap, Estimate
from hermes_lab.evaluation.chance import Guesser
from hermes_lab.evaluation.predictions import Prediction

_FIRST_EDGE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good the answers to some questions are.

    Attributes:
        accuracy: share of right answers, mean over seeds.
        low: lower end of the 95 % interval; None if all questions are about one video.
        high: upper end, likewise.
        chance: what a guesser who saw nothing would score on the same questions.
        num_questions: how many there are, at least 1.
        num_videos: how many videos they are about.
        difference: accuracy minus that of a reference on the same questions; None without a reference.
    """

    accuracy: float
    low: float | None
    high: float | None
    chance: float
    num_questions: int
    num_videos: int
    difference: Estimate | None = None

    @property
    def no_interval(self) -> str | None:
        """Why no interval is to be shown, the difference's included; None if it is."""
        if self.num_videos < MIN_VIDEOS:
            videos = "1 video is" if self.num_videos == 1 else f"{self.num_videos} videos are"
            return f"{videos} too few, at least {MIN_VIDEOS} are needed"
        return "no draw of videos has such questions" if self.low is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayScore:
    """A score of questions whose evidence was seen about equally long ago.

    Attributes:
        from_seconds: shortest delay, included.
        until_seconds: longest delay, excluded.
        score: of the questions in between.
    """

    from_seconds: float
    until_seconds: float
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All scores of one policy; kinds and groups without questions are missing.

    Attributes:
        overall: of all questions.
        by_kind: in alphabetical order.
        by_group: of the present, the past, counts, the future; then of the groups that annotations name.
        by_delay: of all questions with evidence, bins without questions missing.
        by_delay_of_kind: the same of each kind.
        by_delay_of_group: the same of each group.
    """

    overall: Score
    by_kind: dict[str, Score]
    by_group: dict[str, Score]
    by_delay: list[DelayScore]
    by_delay_of_kind: dict[str, list[DelayScore]]
    by_delay_of_group: dict[str, list[DelayScore]]


def score(
    predictions: Sequence[Prediction],
    *,
    rights: Sequence[bool] | None = None,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Report:
    """Score all predictions of a run.

    Args:
        predictions: in any order, at least one.
        rights: which of them are right; None takes ``is_right``.
        seed: of the bootstrap.
        num_resamples: how often the bootstrap draws as many videos as there are.

    Raises:
        ValueError: there are no predictions.
    """
    if not predictions:
        raise ValueError("there are no predictions to score; run at least one question")
    rights = [one.is_right for one in predictions] if rights is None else rights
    return ScoredQuestions(predictions, seed=seed, num_resamples=num_resamples).report(rights)


@final
class ScoredQuestions:
    """The questions of a run, sorted in all ways in which scores are reported.

    All reports share the draws of the bootstrap, so that policies can be compared question by question.

    Args:
        predictions: one for each question, at least one; what was answered does not matter.
        seed: of the bootstrap.
        num_resamples: how often the bootstrap draws as many videos as there are.
    """

    def __init__(
        self, predictions: Sequence[Prediction], *, seed: int, num_resamples: int = NUM_RESAMPLES
    ) -> None:
        videos = [one.video for one in predictions]
        self._bootstrap = Bootstrap(videos, seed=seed, num_resamples=num_resamples)
        self._guesser = Guesser(predictions)
        self._all = np.ones(len(predictions), dtype=bool)
        kinds = np.array([one.question.kind for one in predictions])
        self._of_kind = {str(kind): kinds == kind for kind in np.unique(kinds)}
        self._of_group = _groups(predictions)
        self._delays = np.array([_delay_seconds(one) for one in predictions])

    def report(self, rights: ArrayLike, reference: ArrayLike | None = None) -> Report:
        """Return all scores.

        Args:
            rights: for each question how often it was answered right, from 0 to 1.
            reference: the same of the policy to be compared with; None compares with nothing.
        """

        def score_of(chosen: Booleans) -> Score:
            accuracy = self._bootstrap.mean(rights, chosen)
            return Score(
                accuracy=accuracy.value,
                low=accuracy.low,
                high=accuracy.high,
                chance=self._guesser.chance(chosen),
                num_questions=int(chosen.sum()),
                num_videos=self._bootstrap.num_videos(chosen),
                difference=None
                if reference is None
                else self._bootstrap.difference(rights, reference, chosen),
            )

        return Report(
            overall=score_of(self._all),
            by_kind={kind: score_of(chosen) for kind, chosen in self._of_kind.items()},
            by_group={group: score_of(chosen) for group, chosen in self._of_group.items()},
            by_delay=self._by_delay(self._all, score_of),
            by_delay_of_kind=self._each_by_delay(self._of_kind, score_of),
            by_delay_of_group=self._each_by_delay(self._of_group, score_of),
        )

    def _each_by_delay(
        self, parts: Mapping[str, Booleans], score_of: Callable[[Booleans], Score]
    ) -> dict[str, list[DelayScore]]:
        found = {name: self._by_delay(chosen, score_of) for name, chosen in parts.items()}
        return {name: scores for name, scores in found.items() if scores}

    def _by_delay(self, chosen: Booleans, score_of: Callable[[Booleans], Score]) -> list[DelayScore]:
        delays = self._delays
        has_evidence = ~np.isnan(delays)
        if not has_evidence.any():
            return []
        found = []
        for low, high in pairwise(delay_edges(float(delays[has_evidence].max()))):
            own = chosen & has_evidence & (delays >= low) & (delays < high)
            if own.any():
                found.append(DelayScore(from_seconds=low, until_seconds=high, score=score_of(own)))
        return found


def _groups(predictions: Sequence[Prediction]) -> dict[str, Booleans]:
    of_kinds = np.array([one.question.kind for one in predictions])
    named = np.array([one.question.group for one in predictions])
    found = {group: np.isin(of_kinds, kinds) for group, kinds in GROUPS.items()}
    found |= {str(group): named == group for group in np.unique(named) if group}
    return {group: chosen for group, chosen in found.items() if chosen.any()}


def delay_edges(longest_seconds: float) -> list[float]:
    """Return the edges of the bins of delay, 0, 5, 10, 20, 40 and so on, the last above the longest delay."""
    edges = [0.0, _FIRST_EDGE_SECONDS]
    while edges[-1] <= longest_seconds:
        edges.append(2 * edges[-1])
    return edges


def _delay_seconds(one: Prediction) -> float:
    """Return the delay, 0 where the evidence still shows, NaN without evidence."""
    delay_seconds = one.question.delay_seconds
    return math.nan if delay_seconds is None else max(delay_seconds, 0.0)
