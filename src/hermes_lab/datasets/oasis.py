"""OASIS's form of streaming benchmarks: a list of videos, each with timed questions in ``breakpoint``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hermes_lab.datasets.annotated_entries import UNREADABLE, Found, Keys, find, read_question
from hermes_lab.datasets.choices import LETTERS, drop_letters
from hermes_lab.datasets.records import Record, records_of
from hermes_stream.errors import AnnotationError

KEYS = ("info", "breakpoint")
END_SECONDS = 99_999.0
"""This moment, or a later one, is the end of the video."""

_READ = Keys(options="options", index="gt", kinds=("task", "question_type"))


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "breakpoint" in keys


def read(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a document."""
    for video in records_of(document):
        try:
            records = video.records("breakpoint")
        except AnnotationError as error:
            yield Found(video="", question=UNREADABLE, oddities=(str(error),))
            continue
        for record in records:

            def read_one(odd: list[str], record: Record = record, video: Record = video) -> Found:
                return _found(record, video, odd)

            yield find(read_one)


def _found(record: Record, video: Record, odd: list[str]) -> Found:
    about = video.record_or_itself("info")
    seconds = record.seconds_if_any("time")
    question = read_question(
        _with_index(record),
        odd,
        kind=about.text_or("question", "dataset"),
        asked_seconds=math.inf if seconds is None or seconds >= END_SECONDS else seconds,
        keys=_READ,
    )
    return Found(
        video=about.text("video_path", "video"),
        question=question,
        duration_seconds=about.seconds_if_any("duration"),
    )


def _with_index(record: Record) -> Record:
    """Turn the letter of the right option into its index; where there is none, the answer's text decides."""
    letter, options = record.fields.get("gt"), drop_letters(record.texts("options"))
    if isinstance(letter, str) and letter.strip() in LETTERS[: len(options)]:
        return Record({**record.fields, "gt": LETTERS.index(letter.strip())}, record.place)
    if record.has("answer"):
        return Record({**record.fields, "gt": None}, record.place)
    return Record({**record.fields, "answer": letter}, record.place)
