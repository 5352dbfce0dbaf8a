"""StreamingBench: a list of clips, each with ``questions`` at a ``time_stamp``, lettered answers; or a table.

A list within the list is a sequence about one video: each question of a sequence is asked with the earlier
ones and their right answers before it, as the benchmark asks them. Proactive questions say what to wait for
and what to put out then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
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
from hermes_lab.datasets.choices import LETTERS, add_letters
from hermes_lab.datasets.entry import Entry
from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_stream.errors import AnnotationError

TASK_OF_KIND: dict[str, str] = {
    "now_what": "Object Recognition",
    "now_where": "Spatial Understanding",
    "now_moving": "Action Recognition",
    "first": "Event Understanding",
    "before": "Event Understanding",
    "after": "Event Understanding",
    "colour": "Attribute Recognition",
    "was_there": "Clips Summarize",
    "how_long_ago": "Event Understanding",
    "counting": "Counting",
    "is_there_now": "Object Recognition",
    "came_since": "Event Understanding",
    "colour_seen": "Attribute Recognition",
    "place_seen": "Event Understanding",
    "order_seen": "Event Understanding",
    "colour_not_seen": "Clips Summarize",
    "place_not_seen": "Clips Summarize",
    "order_not_seen": "Clips Summarize",
}
"""The official task nearest in meaning to each kind of the synthetic world."""

_KEYS = Keys(is_letter=True, kinds=("question_type", "task_type"))
_SAMPLE = re.compile(r"(?:.*_)?(sample_\d+|\d+)_\d+")


def _read(question: Entry, clip: Entry, oddities: list[str]) -> AnnotatedQuestion:
    return AnnotatedQuestion(
        video=clip.text("video_path"),
        question=_read_timed(question, oddities),
        duration_seconds=clip.seconds_if_any("duration"),
    )


def _read_row(row: Entry, _: Entry, oddities: list[str]) -> AnnotatedQuestion:
    return AnnotatedQuestion(video=_video_of(row), question=_read_timed(row, oddities))


def _read_timed(entry: Entry, oddities: list[str]) -> EvalQuestion | str:
    asked_seconds = entry.seconds("time_stamp")
    if not entry.has("ground_truth_output", "ground_truth_time_stamp"):
        return read_question(entry, oddities, keys=_KEYS, asked_seconds=asked_seconds)
    return EvalQuestion(
        question_id=name_of(entry),
        text=entry.text("question"),
        answer=entry.text("ground_truth_output"),
        kind=entry.text(*_KEYS.kinds, default="question"),
        asked_seconds=asked_seconds,
        form="proactive",
        due_seconds=entry.seconds("ground_truth_time_stamp"),
    )


def _video_of(row: Entry) -> str:
    """Return where the data set has a row's video, ``sample_N/video.mp4``, by the question's name."""
    if row.has("video_path", "video"):
        return row.text("video_path", "video")
    match = _SAMPLE.fullmatch(row.text("question_id"))
    if match is None:
        raise row.wrong("question_id", "a name that ends in sample_N_K, N being the video's number")
    return f"sample_{match[1].removeprefix('sample_')}/video.mp4"


def _in_sequence(questions: list[AnnotatedQuestion]) -> list[AnnotatedQuestion]:
    """Put the earlier questions of a sequence, with their right answers, before each question of it."""
    earlier = ["Earlier questions about this video and their answers:"]
    result = []
    for one in questions:
        if isinstance(one.question, str):
            result.append(one)
            continue
        preamble = "\n".join([*earlier, "", ""]) if len(earlier) > 1 else ""
        earlier.append(_with_answer(one.question))
        result.append(replace(one, question=replace(one.question, preamble=preamble)))
    return result


def _with_answer(question: EvalQuestion) -> str:
    options, index = add_letters(question.options), question.answer_index
    lines = [f"At {question.asked_seconds:g} s: {question.text}", *options]
    return "\n".join([*lines, f"Answer: {question.answer if index is None else options[index]}"])


def _write(episodes: Sequence[Episode]) -> list[Any]:
    return [_written_clip(episode) for episode in episodes]


def _written_clip(episode: Episode) -> dict[str, Any]:
    last = max((question.asked_seconds for question in episode.questions), default=0.0)
    until = last if episode.duration_seconds is None else episode.duration_seconds
    return {
        "time": f"[0:00:00 - {_clock(until)}]",
        "questions": [_written_question(question) for question in episode.questions],
        "video_categories": "",
        "video_path": episode.video,
        **episode_keys(episode),
    }


def _written_question(question: EvalQuestion) -> dict[str, Any]:
    if question.asked_seconds % 1:
        raise AnnotationError(
            f"question {question.question_id!r} is asked at {question.asked_seconds} s, but time stamps of "
            "StreamingBench are whole seconds; ask at a whole second, or write another dialect"
        )
    index = question.answer_index
    return {
        "task_type": TASK_OF_KIND.get(question.kind, question.kind),
        "question": question.text,
        "time_stamp": _clock(question.asked_seconds, hour_digits=2),
        "answer": question.answer if index is None else LETTERS[index],
        "options": add_letters(question.options),
        **question_keys(question),
    }


def _clock(seconds: float, *, hour_digits: int = 1) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:0{hour_digits}d}:{minutes % 60:02d}:{rest:02d}"


DIALECT = Dialect(
    signatures=(("questions",),),
    questions_of=lambda clip: clip.entries("questions"),
    read=_read,
    in_sequence=_in_sequence,
    write=_write,
)
TABLE_DIALECT = Dialect(signatures=(("question_id", "task_type", "time_stamp"),), read=_read_row)
