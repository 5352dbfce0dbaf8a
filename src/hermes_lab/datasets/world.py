"""A world of the synthetic kind, with questions about it, as an episode."""

from __future__ import annotations

from collections.abc import Sequence

from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_stream.synthetic.moment import Question
from hermes_stream.synthetic.world import World


def name_of(world: World) -> str:
    """Return a story's name, which says its seed, and its scene unless that is still."""
    return f"world-{world.seed:06d}" + ("" if world.scene == "still" else f"-{world.scene}")


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
                question_id=f"{name_of(world)}/{number}",
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
