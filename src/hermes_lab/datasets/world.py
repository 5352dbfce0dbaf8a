"""Questions about a story of the synthetic world: of every kind, spread over the stream, as an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_stream.synthetic.questions import QUESTION_KINDS, Question, ask_at
from hermes_stream.synthetic.world import World

FIRST_SECOND = 2
"""When the first question may be asked; before, hardly anything has come."""

_Asked = dict[str, Question]


def world_episode(
    world: World, *, num_questions: int, seed: int, from_second: int = FIRST_SECOND
) -> tuple[Question, ...]:
    """Plan questions at whole seconds, spread evenly over the stream, every kind as often as the others.

    Where a kind has too few moments at which it has an answer, the others share what it leaves. At one moment
    a kind is asked once at most.

    Args:
        world: the story, longer than two seconds.
        num_questions: how many to ask, at least 1.
        seed: same world and seed, same questions.
        from_second: when the first may be asked.

    Returns:
        The questions, earliest first.

    Raises:
        ValueError: the story is too short for that many questions.
    """
    rng = np.random.default_rng([world.seed, seed])
    rooms = _rooms(world.duration_seconds, num_questions, from_second)
    possible = {second: _draw(world, second, rng) for second in rooms}
    plan = _Plan(rooms, possible, rng)
    asked = plan.fill(num_questions)
    if len(asked) < num_questions:
        raise ValueError(
            f"num_questions is {num_questions}, but a story of {world.duration_seconds:g} s has answers to "
            f"{len(asked)} at the moments planned; ask for fewer, or make the story longer"
        )
    return tuple(asked)


def as_episode(world: World, questions: Sequence[Question], *, video: str) -> Episode:
    """Return the questions about a story as an episode.

    Args:
        world: the story.
        questions: about it, earliest first.
        video: where its video is written, as annotations shall say it.
    """
    return Episode(
        video=video,
        duration_seconds=float(world.duration_seconds),
        questions=tuple(
            EvalQuestion(
                question_id=f"world-{world.seed:06d}/{number}",
                text=question.text,
                answer=question.answer,
                options=question.options,
                answer_index=question.options.index(question.answer),
                kind=question.kind,
                asked_seconds=float(question.asked_seconds),
                evidence=question.evidence,
            )
            for number, question in enumerate(questions)
        ),
    )


def _rooms(duration_seconds: float, num_questions: int, from_second: int) -> dict[int, int]:
    """Return how many questions to ask at which seconds, those without any left out."""
    num_moments = int(np.ceil(duration_seconds)) - from_second
    if num_questions < 1 or num_moments < 1:
        raise ValueError(
            f"{num_questions} questions about a story of {duration_seconds:g} s cannot be planned; ask at "
            f"least 1, and make the story longer than {from_second} s"
        )
    rooms: dict[int, int] = {}
    for k in range(1, num_questions + 1):
        second = from_second + max(k * num_moments // num_questions - 1, 0)
        rooms[second] = rooms.get(second, 0) + 1
    return rooms


def _draw(world: World, second: int, rng: np.random.Generator) -> _Asked:
    """Return one question of each kind that has an answer at a moment."""
    drawn = (ask_at(world, second, kind, rng) for kind in QUESTION_KINDS)
    return {question.kind: question for question in drawn if question is not None}


@final
class _Plan:
    """Which kinds are asked at which moments, as a matching that grows.

    Kinds take turns. One that finds its moments full moves another kind from there to a moment where that has
    an answer too, if need be along a chain; so each is asked as often as the story lets it.
    """

    def __init__(self, rooms: dict[int, int], possible: dict[int, _Asked], rng: np.random.Generator) -> None:
        self._rooms = rooms
        self._possible = possible
        self._kinds_at: dict[int, set[str]] = {second: set() for second in rooms}
        self._rng = rng

    def fill(self, num_questions: int) -> list[Question]:
        """Place as many questions as there are moments for, and return them, earliest first."""
        kinds, num_placed = list(QUESTION_KINDS), 0
        while kinds and num_placed < num_questions:
            able = []
            for k in self._rng.permutation(len(kinds)):
                if num_placed < num_questions and self._place(kinds[k], set()):
                    able.append(kinds[k])
                    num_placed += 1
            kinds = sorted(able)
        return [
            self._possible[second][kind]
            for second in sorted(self._kinds_at)
            for kind in QUESTION_KINDS
            if kind in self._kinds_at[second]
        ]

    def _place(self, kind: str, tried: set[int]) -> bool:
        """Ask a kind once more; False where no chain of moves makes room for it."""
        seconds = [
            second
            for second in self._rooms
            if second not in tried and kind in self._possible[second] and kind not in self._kinds_at[second]
        ]
        order = [seconds[k] for k in self._rng.permutation(len(seconds))]
        for second in order:
            if len(self._kinds_at[second]) < self._rooms[second]:
                self._kinds_at[second].add(kind)
                return True
        for second in order:
            if second in tried:
                continue
            tried.add(second)
            for other in sorted(self._kinds_at[second]):
                if self._place(other, tried):
                    self._kinds_at[second] = (self._kinds_at[second] - {other}) | {kind}
                    return True
        return False
