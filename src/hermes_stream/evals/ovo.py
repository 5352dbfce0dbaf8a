"""OVO-Bench: a list of questions, each with its ``video`` and the moment ``realtime`` in seconds.

Its forward tasks (REC, SSR, CRR), which probe one question again and again as the video goes on, are counted
and left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hermes_stream.errors import AnnotationError
from hermes_stream.evals.base import Episode, EvalQuestion
from hermes_stream.evals.gathering import Found, gather, keys_of_episode, keys_of_question, read_question
from hermes_stream.evals.records import Record, records_of

KEYS = ("task", "video", "realtime")
FORWARD_TASKS = ("REC", "SSR", "CRR")
TASK_OF_KIND: dict[str, str] = {
    "now_what": "OJR",
    "now_where": "STU",
    "now_moving": "ACR",
    "first": "EPM",
    "before": "ASI",
    "after": "ASI",
    "colour": "ATR",
    "was_there": "HLD",
    "how_long_ago": "EPM",
    "counting": "EPM",
}
"""The official task nearest in meaning to each kind of the synthetic world."""


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "video" in keys and bool(keys & {"realtime", "test_info"})


def read(document: list[Any]) -> list[Episode]:
    """Return the episodes of a document, one for each video.

    Raises:
        AnnotationError: a key is missing or wrong; names its place.
    """
    return gather(
        Found(
            video=record.text("video"),
            question=_question(record),
            duration_seconds=record.seconds_if_any("duration"),
        )
        for record in records_of(document)
    )


def _question(record: Record) -> EvalQuestion | str:
    task = record.text("task")
    if record.has("test_info") or task in FORWARD_TASKS:
        return f"{task}: forward tasks are not evaluated yet"
    return read_question(
        record,
        kind=task,
        asked_seconds=record.seconds("realtime"),
        options_key="options",
        index_key="gt",
    )


def write(episodes: Sequence[Episode]) -> list[Any]:
    """Return a document that holds the episodes and reads back as they are.

    Raises:
        AnnotationError: a question is asked at no moment in seconds.
    """
    pairs = [(episode, question) for episode in episodes for question in episode.questions]
    return [_entry(k, episode, question) for k, (episode, question) in enumerate(pairs)]


def _entry(number: int, episode: Episode, question: EvalQuestion) -> dict[str, Any]:
    seconds = question.asked_seconds
    if math.isinf(seconds):
        raise AnnotationError(
            f"question {question.question_id!r} is asked at the end of its video, but OVO-Bench gives every "
            "question a moment in seconds; give it one, or write another dialect"
        )
    return {
        "id": number,
        "task": TASK_OF_KIND.get(question.kind, question.kind),
        "video": episode.video,
        "realtime": int(seconds) if seconds.is_integer() else seconds,
        "question": question.text,
        "answer": question.answer,
        "options": list(question.options),
        "gt": question.answer_index,
        **keys_of_question(question),
        **keys_of_episode(episode),
    }
