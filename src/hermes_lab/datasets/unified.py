"""The unified form of ReKV and HERMES: a list of videos, each with its ``conversations``.

Used for many benchmarks: StreamingBench, OVO-Bench, RVS, Video-MME, MVBench, MLVU and others, open questions
too. A question is asked at its ``end_time``, or at its ``time_stamp``, or at the end of the video. Where an
entry has a ``clip``, that part of the video is watched, and times are those of the whole video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
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
from hermes_lab.datasets.episode import Episode, EvalQuestion, Span
from hermes_lab.datasets.records import Record, records_of
from hermes_stream.errors import AnnotationError

KEYS = ("video_path", "conversations")
_READ = Keys(options="choices", kinds=("question_type", "task", "task_type"))


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "conversations" in keys


def read(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a document."""
    for video in records_of(document):
        try:
            records = video.records("conversations")
        except AnnotationError as error:
            yield Found(video="", question=UNREADABLE, oddities=(str(error),))
            continue
        for record in records:

            def read_one(odd: list[str], record: Record = record, video: Record = video) -> Found:
                return _found(record, video, odd)

            yield find(read_one)


def _found(record: Record, video: Record, odd: list[str]) -> Found:
    clip = video.span("clip")
    question = read_question(
        record,
        odd,
        kind=video.text_or("question", "task", "question_type"),
        asked_seconds=_asked_seconds(record, clip),
        keys=_READ,
        group=video.text_or("", "duration_category"),
    )
    duration_seconds = video.seconds_if_any("duration")
    return Found(
        video=video.text("video_path"),
        question=question,
        duration_seconds=duration_seconds,
        clip=clip,
        pictures_fps=video.rate_if_any("fps"),
    )


def _asked_seconds(record: Record, clip: Span | None) -> float:
    """Return the moment of asking, from the start of what is watched; times before a clip count within it."""
    name = next((name for name in ("end_time", "time_stamp") if record.has(name)), None)
    seconds = record.seconds(name) if name else math.inf
    return seconds if clip is None or seconds < clip[0] else seconds - clip[0]


def write(episodes: Sequence[Episode]) -> list[Any]:
    """Return a document that holds the episodes and reads back as they are."""
    return [_entry(episode) for episode in episodes]


def _entry(episode: Episode) -> dict[str, Any]:
    return {
        "video_id": PurePosixPath(episode.video).stem,
        "video_path": episode.video,
        **keys_of_episode(episode),
        "conversations": [_conversation(question) for question in episode.questions],
    }


def _conversation(question: EvalQuestion) -> dict[str, Any]:
    choices = {"choices": list(question.options)} if question.options else {}
    ended = not math.isinf(question.asked_seconds)
    times = {"start_time": 0.0, "end_time": question.asked_seconds} if ended else {}
    return {
        "question": question.text,
        "answer": question.answer,
        **choices,
        **times,
        **keys_of_question(question),
    }
