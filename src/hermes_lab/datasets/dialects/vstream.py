"""VStream-QA, where RVS-Ego and RVS-Movie come from: a list of open questions, each with its ``video_id``."""

from __future__ import annotations

import math

from hermes_lab.datasets.annotated_questions import AnnotatedQuestion, Dialect, Keys, read_question
from hermes_lab.datasets.entry import Entry

_KEYS = Keys(options="choices", kinds=("question_type", "answer_type", "task"))
_VIDEO_KEYS = ("original_video", "video_path", "video_name", "video_id")


def _read(entry: Entry, _: Entry, oddities: list[str]) -> AnnotatedQuestion:
    seconds = entry.seconds_if_any("end_time")
    # "id" is the video's here, and names no question
    nameless = Entry({**entry.fields, "id": None}, entry.location)
    question = read_question(
        nameless, oddities, keys=_KEYS, asked_seconds=math.inf if seconds is None else seconds
    )
    return AnnotatedQuestion(video=entry.text(*_VIDEO_KEYS), question=question)


DIALECT = Dialect(signatures=tuple(("question", "answer", key) for key in _VIDEO_KEYS), read=_read)
