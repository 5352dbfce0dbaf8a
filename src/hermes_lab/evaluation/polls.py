"""When the questions of an episode are due: once, or every second where the answer must come unasked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import final

from hermes_lab.datasets.episode import EvalQuestion

POLL_SECONDS = 1.0
LATEST_SECONDS = 4.0
"""Proactive questions are polled every second until this long after the right moment."""


@final
class Polls:
    """The moments of asking, earliest first; the next one is made when it is read.

    A right moment may be annotated years after the end of a video, so that a list of polls has no bound.

    Args:
        questions: those of one episode.

    Attributes:
        index: which question is due at the moment that was read last.
        is_last: whether that question is not due again.
    """

    def __init__(self, questions: Sequence[EvalQuestion]) -> None:
        self._questions = questions
        self._waiting = [(_poll_seconds(one, 1), index, 1) for index, one in enumerate(questions)]
        heapify(self._waiting)
        self.index = 0
        self.is_last = True

    def __iter__(self) -> Iterator[float]:
        """Yield moments in seconds from the first frame."""
        while self._waiting:
            at_seconds, self.index, number = heappop(self._waiting)
            question = self._questions[self.index]
            self.is_last = number >= _num_polls(question)
            yield at_seconds
            if not self.is_last:
                heappush(self._waiting, (_poll_seconds(question, number + 1), self.index, number + 1))

    def close_question(self) -> None:
        """Make the moment that was read last the last one of its question."""
        self.is_last = True

    @property
    def are_over(self) -> bool:
        """Whether no moment follows the one that was read last."""
        return self.is_last and not self._waiting


def _num_polls(question: EvalQuestion) -> int:
    if question.form != "proactive" or question.due_seconds is None:
        return 1
    span_seconds = question.due_seconds + LATEST_SECONDS - question.asked_seconds
    return max(int(span_seconds / POLL_SECONDS), 1)


def _poll_seconds(question: EvalQuestion, number: int) -> float:
    if question.form != "proactive" or question.due_seconds is None:
        return question.asked_seconds
    return question.asked_seconds + number * POLL_SECONDS
