"""OVO-Bench: a list of questions, each with its ``video`` and the moment ``realtime`` in seconds.

Its forward tasks (REC, SSR, CRR) probe one question again and again as the video goes on; each probe in
``test_info`` is a question here, named after its entry and its number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from hermes_lab.datasets.annotated_entries import (
    UNREADABLE,
    Found,
    Keys,
    find,
    keys_of_episode,
    keys_of_question,
    read_question,
)
from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.records import Record, records_of
from hermes_stream.errors import AnnotationError

KEYS = ("task", "video", "realtime")
FORWARD_TASKS = ("REC", "SSR", "CRR")
CATEGORIES: dict[str, tuple[str, ...]] = {
    "backward": ("EPM", "ASI", "HLD"),
    "realtime": ("OCR", "ACR", "ATR", "STU", "FPD", "OJR"),
    "forward": FORWARD_TASKS,
}
"""Its tasks by category; a category's score is the mean over its tasks."""
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

_READ = Keys(options="options", index="gt", kinds=("question_type", "task"))


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "video" in keys and bool(keys & {"realtime", "test_info"})


def read(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a document, one for each probe of a forward task."""
    for record in records_of(document):
        if record.has("test_info") or record.fields.get("task") in FORWARD_TASKS:
            yield from _probes(record)
        else:

            def read_one(odd: list[str], record: Record = record) -> Found:
                question = read_question(
                    record, odd, kind="question", asked_seconds=record.seconds("realtime"), keys=_READ
                )
                return _found(record, question)

            yield find(read_one)


def _found(record: Record, question: EvalQuestion | str) -> Found:
    return Found(
        video=record.text("video"), question=question, duration_seconds=record.seconds_if_any("duration")
    )


def _probes(record: Record) -> Iterator[Found]:
    try:
        probes = record.records("test_info")
    except AnnotationError as error:
        yield Found(video="", question=UNREADABLE, oddities=(str(error),))
        return
    for number, probe in enumerate(probes):

        def read_probe(_: list[str], number: int = number, probe: Record = probe) -> Found:
            return _found(record, _probe(record, probe, number))

        yield find(read_probe)


def _probe(record: Record, probe: Record, number: int) -> EvalQuestion:
    task = record.text("task")
    is_count = probe.has("count") or task == "REC"
    name = record.text_or(record.place, "question_id", "id")
    return EvalQuestion(
        question_id=f"{name}_{number}",
        text=_asked(task, record, probe),
        answer=str(probe.whole("count")) if is_count else ("Yes" if probe.index("type", 2) else "No"),
        kind=task,
        asked_seconds=probe.seconds("realtime"),
        form="number" if is_count else "yes_no",
    )


def _asked(task: str, record: Record, probe: Record) -> str:
    if task == "REC":
        return (
            "People in this video may do the same thing several times. How many times have they done this so "
            f"far, all of them together: {record.text('activity')}? Answer with one number and nothing else."
        )
    if task == "SSR":
        return (
            f"The video shows how to do something, step by step. One of the steps is: {probe.text('step')} "
            "Is this step being done right now? Answer with Yes or No and nothing else."
        )
    return (
        f"Somebody asks about this video: {record.text('question')} Has the video, its latest moments above "
        "all, shown enough by now to answer that? Answer with Yes or No and nothing else."
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
