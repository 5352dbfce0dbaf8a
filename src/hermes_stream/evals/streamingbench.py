"""StreamingBench: a list of clips, each with ``questions`` at a ``time_stamp``, answers as letters.

Its proactive questions, where the model itself must speak up at the right moment, are counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import Any

from hermes_stream.errors import AnnotationError
from hermes_stream.evals.base import Episode, EvalQuestion
from hermes_stream.evals.choices import add_letters
from hermes_stream.evals.gathering import Found, gather, keys_of_episode, keys_of_question, read_question
from hermes_stream.evals.records import Record, records_of

KEYS = ("video_path", "questions")
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
}
"""The official task nearest in meaning to each kind of the synthetic world."""


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "questions" in keys


def read(document: list[Any]) -> list[Episode]:
    """Return the episodes of a document, one for each video.

    Raises:
        AnnotationError: a key is missing or wrong; names its place.
    """
    return gather(found for clip in records_of(document) for found in _questions(clip))


def _questions(clip: Record) -> Iterator[Found]:
    duration_seconds = clip.seconds_if_any("duration")
    for record in clip.records("questions"):
        yield Found(
            video=clip.text("video_path"), question=_question(record), duration_seconds=duration_seconds
        )


def _question(record: Record) -> EvalQuestion | str:
    kind = record.text_or("question", "task_type")
    if record.has("ground_truth_output"):
        return f"{kind}: proactive questions are not evaluated yet"
    return read_question(
        record,
        kind=kind,
        asked_seconds=record.seconds("time_stamp"),
        options_key="options",
        is_letter=True,
    )


def write(episodes: Sequence[Episode]) -> list[Any]:
    """Return a document that holds the episodes and reads back as they are.

    Raises:
        AnnotationError: a question is not asked at a whole second.
    """
    return [_entry(episode) for episode in episodes]


def _entry(episode: Episode) -> dict[str, Any]:
    last = max((question.asked_seconds for question in episode.questions), default=0.0)
    until = last if episode.duration_seconds is None else episode.duration_seconds
    return {
        "time": f"[0:00:00 - {_clock(until)}]",
        "questions": [_entry_of(question) for question in episode.questions],
        "video_categories": "",
        "video_path": episode.video,
        **keys_of_episode(episode),
    }


def _entry_of(question: EvalQuestion) -> dict[str, Any]:
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
        "answer": question.answer if index is None else ascii_uppercase[index],
        "options": add_letters(question.options),
        **keys_of_question(question),
    }


def _clock(seconds: float, *, hour_digits: int = 1) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:0{hour_digits}d}:{minutes % 60:02d}:{rest:02d}"
