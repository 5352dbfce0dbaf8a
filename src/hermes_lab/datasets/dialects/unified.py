"""The unified form of ReKV and HERMES: a list of videos, each with its ``conversations``.

Used for many benchmarks: StreamingBench, OVO-Bench, RVS, Video-MME, MVBench, MLVU and others, open questions
too. A question is asked at its ``end_time``, or at its ``time_stamp``, or at the end of the video. Where an
entry has a ``clip``, that part of the video is watched, and times are those of the whole video.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from hermes_lab.datasets.annotated_questions import (
    AnnotatedQuestion,
    Dialect,
    Keys,
    episode_keys,
    question_keys,
    read_question,
)
from hermes_lab.datasets.entry import Entry
from hermes_lab.datasets.episode import Episode, EvalQuestion, Span

_KEYS = Keys(options="choices", kinds=("question_type", "task", "task_type"))


def _read(question: Entry, video: Entry, oddities: list[str]) -> AnnotatedQuestion:
    clip = video.span("clip")
    return AnnotatedQuestion(
        question=read_question(
            question,
            oddities,
            keys=_KEYS,
            kind=video.text("task", "question_type", default="question"),
            asked_seconds=_asked_seconds(question, clip),
            group=video.text("duration_category", default=""),
        ),
        video=video.text("video_path"),
        duration_seconds=video.seconds_if_any("duration"),
        clip=clip,
        pictures_fps=video.rate_if_any("fps"),
    )


def _asked_seconds(question: Entry, clip: Span | None) -> float:
    """Return the moment of asking, from the start of what is watched; times before a clip count within it."""
    name = next((name for name in ("end_time", "time_stamp") if question.has(name)), None)
    seconds = question.seconds(name) if name else math.inf
    return seconds if clip is None or seconds < clip[0] else seconds - clip[0]


def _write(episodes: Sequence[Episode]) -> list[Any]:
    return [
        {
            "video_id": PurePosixPath(episode.video).stem,
            "video_path": episode.video,
            **episode_keys(episode),
            "conversations": [_conversation(question) for question in episode.questions],
        }
        for episode in episodes
    ]


def _conversation(question: EvalQuestion) -> dict[str, Any]:
    choices = {"choices": list(question.options)} if question.options else {}
    has_time = math.isfinite(question.asked_seconds)
    times = {"start_time": 0.0, "end_time": question.asked_seconds} if has_time else {}
    return {
        "question": question.text,
        "answer": question.answer,
        **choices,
        **times,
        **question_keys(question),
    }


DIALECT = Dialect(
    signatures=(("conversations",),),
    questions_of=lambda video: video.entries("conversations"),
    read=_read,
    write=_write,
)
