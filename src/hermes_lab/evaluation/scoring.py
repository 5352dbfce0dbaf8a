"""From predictions to scores: by kind, by group of kinds, and by how long ago the evidence was seen.

Intervals hold 95 % of a bootstrap that draws whole videos, as questions about one video succeed or fail
together. Pure functions; the same predictions and seed give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from numpy.typing import NDArray

from hermes_lab.evaluation.chance import Guesser
from hermes_lab.evaluation.runner import Prediction
from hermes_stream.synthetic.questions import KIND_GROUPS

NUM_RESAMPLES = 2000
_PERCENTILES = (2.5, 97.5)
_FIRST_EDGE_SECONDS = 5.0

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good the answers to some questions are.

    Attributes:
        accuracy: share of right answers.
        low: lower end of the 95 % interval; None where a single video cannot tell.
        high: upper end, likewise.
        chance: what a guesser who saw nothing would score on the same questions.
        num_questions: how many there are, at least 1.
    """

    accuracy: float
    low: float | None
    high: float | None
    chance: float
    num_questions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayScore:
    """A score of questions whose evidence was seen about equally long ago.

    Attributes:
        from_seconds: least delay, included.
        until_seconds: most delay, excluded.
        score: of the questions in between.
    """

    from_seconds: float
    until_seconds: float
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All scores of one run; kinds and groups without questions are missing.

    Attributes:
        overall: of all questions.
        by_kind: in alphabetical order.
        by_group: of the synthetic world's groups of kinds, and of the groups that annotations name.
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
    tally = _Tally(predictions, rights, seed=seed, num_resamples=num_resamples)
    kinds = np.array([one.question.kind for one in predictions])
    of_kind = {str(kind): kinds == kind for kind in np.unique(kinds)}
    of_group = _groups(predictions, kinds)
    delays = np.array([_delay_seconds(one) for one in predictions])
    return Report(
        overall=tally.score(np.ones(len(predictions), dtype=bool)),
        by_kind={kind: tally.score(chosen) for kind, chosen in of_kind.items()},
        by_group={group: tally.score(chosen) for group, chosen in of_group.items()},
        by_delay=_by_delay(tally, delays, np.ones(len(predictions), dtype=bool)),
        by_delay_of_kind=_each_by_delay(tally, delays, of_kind),
        by_delay_of_group=_each_by_delay(tally, delays, of_group),
    )


@final
class _Tally:
    """The answers of a run, and how often each resample draws each video."""

    def __init__(
        self, predictions: Sequence[Prediction], rights: Sequence[bool], *, seed: int, num_resamples: int
    ) -> None:
        self._right = np.array(rights, dtype=bool)
        self._guesser = Guesser(predictions)
        videos, self._video = np.unique([one.video for one in predictions], return_inverse=True)
        self._num_videos = len(videos)
        even = np.full(self._num_videos, 1 / self._num_videos)
        self._drawn = np.random.default_rng(seed).multinomial(self._num_videos, even, size=num_resamples)

    def score(self, chosen: Booleans) -> Score:
        """Return the score of some of the questions, at least one."""
        low, high = self._interval(chosen)
        return Score(
            accuracy=float(self._right[chosen].mean()),
            low=low,
            high=high,
            chance=self._guesser.chance(chosen),
            num_questions=int(chosen.sum()),
        )

    def _interval(self, chosen: Booleans) -> tuple[float | None, float | None]:
        asked = np.bincount(self._video[chosen], minlength=self._num_videos)
        right = np.bincount(self._video[chosen & self._right], minlength=self._num_videos)
        if np.count_nonzero(asked) < 2:
            return None, None
        num_asked, num_right = self._drawn @ asked, self._drawn @ right
        accuracies = num_right[num_asked > 0] / num_asked[num_asked > 0]
        if not len(accuracies):
            return None, None
        low, high = np.percentile(accuracies, _PERCENTILES)
        return float(low), float(high)


def _groups(predictions: Sequence[Prediction], kinds: NDArray[np.str_]) -> dict[str, Booleans]:
    found = {group: np.isin(kinds, own) for group, own in KIND_GROUPS.items()}
    named = np.array([one.question.group for one in predictions])
    found |= {str(group): named == group for group in np.unique(named) if group}
    return {group: chosen for group, chosen in found.items() if chosen.any()}


def delay_edges(longest_seconds: float) -> list[float]:
    """Return the edges of the bins of delay, 0, 5, 10, 20, 40 and so on, the last above the longest delay."""
    edges = [0.0, _FIRST_EDGE_SECONDS]
    while edges[-1] <= longest_seconds:
        edges.append(2 * edges[-1])
    return edges


def _delay_seconds(one: Prediction) -> float:
    """Return the delay, 0 where the evidence still shows, not a number where there is none."""
    delay_seconds = one.question.delay_seconds
    return math.nan if delay_seconds is None else max(delay_seconds, 0.0)


def _by_delay(tally: _Tally, delays: NDArray[np.float64], chosen: Booleans) -> list[DelayScore]:
    has_evidence = ~np.isnan(delays)
    if not has_evidence.any():
        return []
    edges = delay_edges(float(delays[has_evidence].max()))
    found = []
    for low, high in pairwise(edges):
        own = chosen & has_evidence & (delays >= low) & (delays < high)
        if own.any():
            found.append(DelayScore(from_seconds=low, until_seconds=high, score=tally.score(own)))
    return found


def _each_by_delay(
    tally: _Tally, delays: NDArray[np.float64], parts: Mapping[str, Booleans]
) -> dict[str, list[DelayScore]]:
    found = {name: _by_delay(tally, delays, chosen) for name, chosen in parts.items()}
    return {name: scores for name, scores in found.items() if scores}
