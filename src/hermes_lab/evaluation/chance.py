"""What a guesser who never saw the videos would score.

The guesser knows the kind of a question, its options, and which answer is most often the truth in that kind.
In each kind it takes the better of two strategies: an option at random; or the most frequent one where it is
offered, and an option at random elsewhere. Open questions it answers with the most frequent answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from hermes_lab.datasets.choices import normal
from hermes_lab.evaluation.predictions import Prediction


@final
class Guesser:
    """Both strategies of guessing, question by question.

    Args:
        predictions: all those of a run, as the most frequent answers are counted among them.
    """

    def __init__(self, predictions: Sequence[Prediction]) -> None:
        rows: dict[tuple[str, bool], list[int]] = {}
        for row, one in enumerate(predictions):
            rows.setdefault((one.question.kind, one.is_choice), []).append(row)
        self._kind = np.zeros(len(predictions), dtype=np.int64)
        self._probability = np.zeros((2, len(predictions)))
        for kind, own in enumerate(rows.values()):
            self._kind[own] = kind
            self._probability[:, own] = _probabilities([predictions[row] for row in own])

    def chance(self, chosen: NDArray[np.bool_]) -> float:
        """Return the share of some of the questions that guessing gets right, at least one of them."""
        num_right = 0.0
        for kind in np.unique(self._kind[chosen]):
            num_right += float(self._probability[:, chosen & (self._kind == kind)].sum(axis=1).max())
        return num_right / int(chosen.sum())


def _probabilities(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """Return how likely each question of one kind is guessed right, ``[strategies, questions]``."""
    at_random = [1 / len(one.question.options) if one.is_choice else 0.0 for one in predictions]
    frequent = [[_guessed(answer, one) for one in predictions] for answer in _most_frequent(predictions)]
    return np.array([at_random, max(frequent, key=sum)])


def _guessed(frequent: str, one: Prediction) -> float:
    if one.is_choice and frequent not in map(normal, one.question.options):
        return 1 / len(one.question.options)
    return float(normal(one.question.answer) == frequent)


def _most_frequent(predictions: Sequence[Prediction]) -> list[str]:
    """Return the most frequent truth, or several equally frequent ones, in alphabetical order."""
    counts = Counter(normal(one.question.answer) for one in predictions)
    largest = max(counts.values())
    return sorted(answer for answer, count in counts.items() if count == largest)
