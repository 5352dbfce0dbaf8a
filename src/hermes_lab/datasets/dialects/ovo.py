"""OVO-Bench: a list of questions, each with its ``video`` and the moment ``realtime`` in seconds.

Its forward tasks (REC, SSR, CRR) probe one question again and again as the video goes on; each probe in
``test_info`` is a question here, named after its entry and its number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hermes_lab.datasets.annotated_questions import (
    AnnotatedQuestion,
    Dialect,
    Keys,
    episode_keys,
    name_of,
    question_keys,
    read_question,
)
from hermes_lab.datasets.entry import Entry
from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.task_groups import OVO_TASKS
from hermes_stream.errors import AnnotationError

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
    "is_there_now": "OJR",
    "came_since": "EPM",
    "colour_seen": "EPM",
    "place_seen": "EPM",
    "order_seen": "ASI",
    "colour_not_seen": "HLD",
    "place_not_seen": "HLD",
    "order_not_seen": "HLD",
}
"""The official task nearest in meaning to each kind of the synthetic world."""

_KEYS = Keys(index="gt", kinds=("question_type", "task"))


def _questions_of(entry: Entry) -> list[Entry]:
    """Return the probes of a forward task, or the entry itself."""
    is_forward = entry.has("test_info") or entry.fields.get("task") in OVO_TASKS["forward"]
    return entry.entries("test_info") if is_forward else [entry]


def _read(question: Entry, entry: Entry, oddities: list[str]) -> AnnotatedQuestion:
    return AnnotatedQuestion(
        question=read_question(entry, oddities, keys=_KEYS, asked_seconds=entry.seconds("realtime"))
        if question is entry
        else _read_probe(question, entry),
        video=entry.text("video"),
        duration_seconds=entry.seconds_if_any("duration"),
    )


def _read_probe(probe: Entry, entry: Entry) -> EvalQuestion:
    task = entry.text("task")
    is_count = probe.has("count") or task == "REC"
    return EvalQuestion(
        question_id=f"{name_of(entry)}_{probe.number}",
        text=_probe_text(task, entry, probe),
        answer=str(probe.whole("count")) if is_count else ("Yes" if probe.whole("type", below=2) else "No"),
        kind=task,
        asked_seconds=probe.seconds("realtime"),
        form="number" if is_count else "yes_no",
    )


def _probe_text(task: str, entry: Entry, probe: Entry) -> str:
    if task == "REC":
        return (
            "People in this video may do the same thing several times. How many times have they done this so "
            f"far, all of them together: {entry.text('activity')}? Answer with one number and nothing else."
        )
    if task == "SSR":
        return (
            f"The video shows how to do something, step by step. One of the steps is: {probe.text('step')} "
            "Is this step being done right now? Answer with Yes or No and nothing else."
        )
    return (
        f"Somebody asks about this video: {entry.text('question')} Has the video, its latest moments above "
        "all, shown enough by now to answer that? Answer with Yes or No and nothing else."
    )


def _write(episodes: Sequence[Episode]) -> list[Any]:
    pairs = [(episode, question) for episode in episodes for question in episode.questions]
    return [_written(number, *pair) for number, pair in enumerate(pairs)]


def _written(number: int, episode: Episode, question: EvalQuestion) -> dict[str, Any]:
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
        **question_keys(question),
        **episode_keys(episode),
    }


DIALECT = Dialect(
    signatures=(("video", "realtime"), ("video", "test_info")),
    questions_of=_questions_of,
    read=_read,
    write=_write,
)
