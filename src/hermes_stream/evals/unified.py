"""The unified form of ReKV and HERMES: a list of videos, each with its ``conversations``.

Used for many benchmarks: StreamingBench, OVO-Bench, RVS, Video-MME, MLVU and others, open questions too. A
question is asked at its ``end_time``, or at its ``time_stamp``, or at the end of the video. Questions about a
``clip`` of a longer video are counted and left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from hermes_stream.evals.base import Episode, EvalQuestion
from hermes_stream.evals.gathering import Found, gather, keys_of_episode, keys_of_question, read_question
from hermes_stream.evals.records import Record, records_of

KEYS = ("video_path", "conversations")


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "conversations" in keys


def read(document: list[Any]) -> list[Episode]:
    """Return the episodes of a document, one for each video.

    Raises:
        AnnotationError: a key is missing or wrong; names its place.
    """
    return gather(found for video in records_of(document) for found in _questions(video))


def _questions(video: Record) -> Iterator[Found]:
    duration_seconds = video.seconds_if_any("duration")
    for record in video.records("conversations"):
        yield Found(
            video=video.text("video_path"),
            question=_question(record, video),
            duration_seconds=duration_seconds,
        )


def _question(record: Record, video: Record) -> EvalQuestion | str:
    kind = record.text_or(video.text_or("question", "task"), "task")
    if video.has("clip"):
        return f"{kind}: questions about a clip of a longer video are not evaluated yet"
    return read_question(record, kind=kind, asked_seconds=_asked_seconds(record), options_key="choices")


def _asked_seconds(record: Record) -> float:
    name = next((name for name in ("end_time", "time_stamp") if record.has(name)), None)
    return record.seconds(name) if name else math.inf


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
