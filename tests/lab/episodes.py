"""Questions, episodes and predictions with defaults, for tests that care for a few of their fields."""

from __future__ import annotations

from hermes_lab.datasets import Episode, EvalQuestion
from hermes_lab.evaluation import Prediction, Reply

OPTIONS = ("red cross", "blue cross", "red circle", "nothing")


def question(
    text="what?", answer="red cross", *, options=OPTIONS, kind="first", at=2.0, name="q", evidence=()
):
    return EvalQuestion(
        question_id=name,
        text=text,
        answer=answer,
        options=tuple(options),
        answer_index=options.index(answer) if options else None,
        kind=kind,
        asked_seconds=at,
        evidence=tuple(evidence),
    )


def episode(*questions, video="videos/one.mp4", duration_seconds=10.0, left_out=()):
    return Episode(
        video=video, questions=questions, duration_seconds=duration_seconds, left_out=tuple(left_out)
    )


def prediction(is_right, *, video="one.mp4", short=False, **asked):
    """A right or a wrong answer to a question."""
    one = question(**asked)
    others = [k for k in range(len(one.options)) if k != one.answer_index]
    if short or not one.options:
        reply = Reply(text=one.answer if is_right else "something else", options_shown=False)
    else:
        reply = Reply(text="", option_index=one.answer_index if is_right else others[0])
    return Prediction(video=video, question=one, reply=reply, at_seconds=one.asked_seconds)
