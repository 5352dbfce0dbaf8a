"""Planning questions about a world: of every kind, spread over the stream."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import numpy as np

from hermes_stream.synthetic.moment import Question
from hermes_stream.synthetic.questions import QUESTION_KINDS, ask_at
from hermes_stream.synthetic.world import World

FIRST_SECOND = 2
"""When the first question may be asked; before, hardly anything has come."""

_Drawn = dict[str, Question]


def plan_questions(
    world: World,
    *,
    num_questions: int,
    seed: int,
    from_second: int = FIRST_SECOND,
    kinds: Sequence[str] = tuple(QUESTION_KINDS),
) -> tuple[Question, ...]:
    """Plan questions at whole seconds, spread evenly over the stream, every kind as often as the others.

    Where a kind has too few moments at which it has an answer, the others share what it leaves. At one moment
    a kind is asked once at most. What came since the last answer counts from the moment before at which
    something is asked.

    Args:
        world: the world, longer than two seconds.
        num_questions: how many to ask, at least 1.
        seed: same world and seed, same questions.
        from_second: when the first may be asked.
        kinds: keys of ``ALL_KINDS``, each once.

    Returns:
        The questions, earliest first.

    Raises:
        ValueError: the world is too short for that many questions.
    """
    rng = np.random.default_rng([world.seed, seed])
    num_by_second = _count_by_second(world.duration_seconds, num_questions, from_second)
    possible = {
        second: _draw(world, second, rng, kinds=kinds, since_seconds=before)
        for before, second in pairwise([None, *num_by_second])
        if second is not None
    }
    plan = _Schedule(num_by_second, possible, rng, kinds)
    asked = plan.fill(num_questions)
    if len(asked) < num_questions:
        raise ValueError(
            f"num_questions is {num_questions}, but a world of {world.duration_seconds:g} s has answers to "
            f"{len(asked)} at the moments planned; ask for fewer, or make the world longer"
        )
    return tuple(asked)


def _count_by_second(duration_seconds: float, num_questions: int, from_second: int) -> dict[int, int]:
    """Return how many questions to ask at which seconds, those without any left out."""
    num_moments = int(np.ceil(duration_seconds)) - from_second
    if num_questions < 1 or num_moments < 1:
        raise ValueError(
            f"{num_questions} questions about a world of {duration_seconds:g} s cannot be planned; ask at "
            f"least 1, and make the world longer than {from_second} s"
        )
    num_by_second: dict[int, int] = {}
    for k in range(1, num_questions + 1):
        second = from_second + max(k * num_moments // num_questions - 1, 0)
        num_by_second[second] = num_by_second.get(second, 0) + 1
    return num_by_second


def _draw(
    world: World,
    second: int,
    rng: np.random.Generator,
    *,
    kinds: Sequence[str],
    since_seconds: int | None,
) -> _Drawn:
    """Return one question of each kind that has an answer at a moment."""
    drawn = (ask_at(world, second, kind, rng, since_seconds=since_seconds) for kind in kinds)
    return {question.kind: question for question in drawn if question is not None}


@final
class _Schedule:
    """Which kinds are asked at which moments, as a matching that grows.

    Kinds take turns. One that finds its moments full moves another kind from there to a moment where that has
    an answer too, if need be along a chain; so each is asked as often as the world lets it.
    """

    def __init__(
        self,
        num_by_second: dict[int, int],
        possible: dict[int, _Drawn],
        rng: np.random.Generator,
        kinds: Sequence[str],
    ) -> None:
        self._kinds = kinds
        self._num_by_second = num_by_second
        self._possible = possible
        self._kinds_at: dict[int, set[str]] = {second: set() for second in num_by_second}
        self._rng = rng

    def fill(self, num_questions: int) -> list[Question]:
        """Add as many questions as there are moments for, and return them, earliest first."""
        kinds, num_added = list(self._kinds), 0
        while kinds and num_added < num_questions:
            able = []
            for k in self._rng.permutation(len(kinds)):
                if num_added < num_questions and self._add(kinds[k], set()):
                    able.append(kinds[k])
                    num_added += 1
            kinds = sorted(able)
        return [
            self._possible[second][kind]
            for second in sorted(self._kinds_at)
            for kind in self._kinds
            if kind in self._kinds_at[second]
        ]

    def _add(self, kind: str, tried: set[int]) -> bool:
        """Ask a kind once more; return False where no chain of moves makes room for it."""
        seconds = [
            second
            for second in self._num_by_second
            if second not in tried and kind in self._possible[second] and kind not in self._kinds_at[second]
        ]
        order = [seconds[k] for k in self._rng.permutation(len(seconds))]
        for second in order:
            if len(self._kinds_at[second]) < self._num_by_second[second]:
                self._kinds_at[second].add(kind)
                return True
        for second in order:
            if second in tried:
                continue
            tried.add(second)
            for other in sorted(self._kinds_at[second]):
                if self._add(other, tried):
                    self._kinds_at[second] = (self._kinds_at[second] - {other}) | {kind}
                    return True
        return False
