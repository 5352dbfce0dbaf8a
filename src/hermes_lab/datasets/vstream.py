"""VStream-QA, where RVS-Ego and RVS-Movie come from: a list of open questions, each with its ``video_id``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hermes_lab.datasets.annotated_entries import Found, Keys, find, read_question
from hermes_lab.datasets.records import Record, records_of

KEYS = ("video_id", "question", "answer")

_READ = Keys(options="choices", kinds=("question_type", "answer_type", "task"))
_VIDEO_KEYS = ("original_video", "video_path", "video_name", "video_id")


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return keys.issuperset({"question", "answer"}) and bool(keys.intersection(_VIDEO_KEYS))


def read(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a document."""
    for record in records_of(document):

        def read_one(odd: list[str], record: Record = record) -> Found:
            seconds = record.seconds_if_any("end_time")
            question = read_question(
                Record({**record.fields, "id": None}, record.place),
                odd,
                kind="question",
                asked_seconds=math.inf if seconds is None else seconds,
                keys=_READ,
            )
            return Found(video=record.text(*_VIDEO_KEYS), question=question)

        yield find(read_one)
