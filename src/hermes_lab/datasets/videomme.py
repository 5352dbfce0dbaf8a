"""Video-MME: a table of questions about whole videos, three for each, reported by the videos' length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hermes_lab.datasets.annotated_entries import Found, Keys, find, read_question
from hermes_lab.datasets.records import Record, records_of

KEYS = ("videoID", "options")

_READ = Keys(options="options", is_letter=True, kinds=("task_type", "question_type"))


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "videoID" in keys


def read(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a document."""
    for record in records_of(document):

        def read_one(odd: list[str], record: Record = record) -> Found:
            length = record.text_or("", "duration", "duration_category")
            question = read_question(
                record, odd, kind="question", asked_seconds=math.inf, keys=_READ, group=length
            )
            return Found(video=record.text("videoID"), question=question)

        yield find(read_one)
