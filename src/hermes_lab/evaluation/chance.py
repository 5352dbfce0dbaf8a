"""What a guesser who never saw the videos would score.

The guesser knows the kind of a question, its options, and which answer is most often the truth in that kind.
In each kind it takes the better of two ways: any option, all alike; or the most frequent answer wherever that
is offered, and any option elsewhere. Open questions it answers with the most frequent answer.
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
    """Both ways of guessing, question by question.

    Args:
        predictions: all those of a run, as the most frequent answers are counted among them.
    """

    def __init__(self, predictions: Sequence[Prediction]) -> None:
        rows: dict[tuple[str, bool], list[int]] = {}
        for row, one in enumerate(predictions):
            rows.setdefault((one.question.kind, one.is_choice), []).append(row)
        self._sort = np.zeros(len(predictions), dtype=np.int64)
        self._ways = np.zeros((2, len(predictions)))
        for sort, own in enumerate(rows.values()):
            self._sort[own] = sort
            self._ways[:, own] = _ways([predictions[row] for row in own])

    def chance(self, chosen: NDArray[np.bool_]) -> float:
        """Return the share of some of the questions that guessing gets right, at least one of them."""
        num_right = 0.0
        for sort in np.unique(self._sort[chosen]):
            num_right += float(self._ways[:, chosen & (self._sort == sort)].sum(axis=1).max())
        return num_right / int(chosen.sum())


def _ways(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """Return how likely each question of one kind is guessed right, ``[ways, questions]``."""
    evenly = [1 / len(one.question.options) if one.is_choice else 0.0 for one in predictions]
    ways = [[_going_for(answer, one) for one in predictions] for answer in _most_frequent(predictions)]
    return np.array([evenly, max(ways, key=sum)])


def _going_for(frequent: str, one: Prediction) -> float:
    if one.is_choice and frequent not in map(normal, one.question.options):
        return 1 / len(one.question.options)
    return float(normal(one.question.answer) == frequent)


def _most_frequent(predictions: Sequence[Prediction]) -> list[str]:
    """Return the most frequent truth, several where they are equally so, in alphabetical order."""
    counts = Counter(normal(one.question.answer) for one in predictions)
    most = max(counts.values())
    return sorted(answer for answer, count in counts.items() if count == most)
