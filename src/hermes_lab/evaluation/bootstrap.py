"""Intervals from a bootstrap that draws whole videos, as questions about one succeed or fail together.

Pure numpy; the same values and seed give the same numbers. It knows nothing of questions or policies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_RESAMPLES = 4000
MIN_VIDEOS = 5
"""Videos from which an interval is worth showing.

Four can be drawn in 35 ways, of which 2.5 % is not even one: the ends would be those of single videos. Five
can be drawn in 126.
"""
_PERCENTILES = (2.5, 97.5)

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean or a difference of two, with its 95 % interval.

    Attributes:
        value: of all questions.
        low: lower end; None if all questions are about one video.
        high: upper end, likewise.
    """

    value: float
    low: float | None
    high: float | None


@final
class Bootstrap:
    """Resamples whole videos with replacement; all estimates share the draws.

    Two policies that answered the same questions are compared by the mean of their differences, question by
    question, so that what makes a video hard for both cancels out.

    Args:
        video_of: for each question the video that it is about, any labels.
        seed: of the draws.
        num_resamples: how often to draw.

    Raises:
        ValueError: there are no questions.
    """

    def __init__(self, video_of: ArrayLike, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> None:
        videos, self._video_of = np.unique(np.asarray(video_of), return_inverse=True)
        if not len(videos):
            raise ValueError("there are no questions to draw from; answer at least one")
        self._num_videos = len(videos)
        even = np.full(self._num_videos, 1 / self._num_videos)
        self._drawn = np.random.default_rng(seed).multinomial(self._num_videos, even, size=num_resamples)

    def num_videos(self, chosen: Booleans) -> int:
        """Return how many videos some of the questions are about."""
        return len(np.unique(self._video_of[chosen]))

    def mean(self, values: ArrayLike, chosen: Booleans | None = None) -> Estimate:
        """Estimate the mean of some of the questions' values.

        Args:
            values: one for each question.
            chosen: which questions count, at least one; None is all.

        Raises:
            ValueError: no question is chosen.
        """
        values, chosen = self._checked(values, chosen)
        resampled = self._resampled(values, chosen)
        return _estimate(float(values[chosen].mean()), resampled)

    def difference(self, values: ArrayLike, others: ArrayLike, chosen: Booleans | None = None) -> Estimate:
        """Estimate by how much the mean of values exceeds that of others on the same questions.

        Args:
            values: one for each question.
            others: to be compared with, in the same order.
            chosen: which questions count, at least one; None is all.

        Raises:
            ValueError: no question is chosen, or the lengths differ.
        """
        values, chosen = self._checked(values, chosen)
        others, _ = self._checked(others, chosen)
        return self.mean(values - others, chosen)

    def _checked(self, values: ArrayLike, chosen: Booleans | None) -> tuple[Floats, Booleans]:
        floats = np.asarray(values, dtype=np.float64)
        if floats.shape != self._video_of.shape:
            raise ValueError(
                f"{len(self._video_of)} questions need as many values, got an array of shape {floats.shape}"
            )
        chosen = np.ones(len(floats), dtype=bool) if chosen is None else chosen
        if not chosen.any():
            raise ValueError("no question is chosen; choose at least one")
        return floats, chosen

    def _resampled(self, values: Floats, chosen: Booleans) -> Floats | None:
        """Return the mean of each draw; None if fewer than two videos have questions."""
        videos = self._video_of[chosen]
        asked = np.bincount(videos, minlength=self._num_videos)
        total = np.bincount(videos, weights=values[chosen], minlength=self._num_videos)
        if np.count_nonzero(asked) < 2:
            return None
        num_asked = self._drawn @ asked
        means: Floats = (self._drawn @ total)[num_asked > 0] / num_asked[num_asked > 0]
        return means if len(means) else None


def unpaired_difference(
    one: tuple[ArrayLike, ArrayLike],
    other: tuple[ArrayLike, ArrayLike],
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Estimate by how much one mean exceeds another over other videos; both are drawn on their own.

    Args:
        one: values of questions, and the video of each.
        other: the same, to be compared with.
        seed: of the draws.
        num_resamples: how often to draw.
    """
    means, draws = [], []
    for k, (values, video_of) in enumerate((one, other)):
        bootstrap = Bootstrap(video_of, seed=seed + k, num_resamples=num_resamples)
        floats, every = bootstrap._checked(values, None)
        means.append(float(floats.mean()))
        draws.append(bootstrap._resampled(floats, every))
    if draws[0] is None or draws[1] is None:
        return Estimate(value=means[0] - means[1], low=None, high=None)
    return _estimate(means[0] - means[1], draws[0] - draws[1])


def _estimate(value: float, resampled: Floats | None) -> Estimate:
    if resampled is None:
        return Estimate(value=value, low=None, high=None)
    low, high = np.percentile(resampled, _PERCENTILES)
    return Estimate(value=value, low=float(low), high=float(high))
