"""StreamingBench: a list of clips, each with ``questions`` at a ``time_stamp``, lettered answers; or a table.

A list within the list is a sequence about one video: each question of a sequence is asked with the earlier
ones and their right answers before it, as the benchmark asks them. Proactive questions say what to wait for
and what to put out then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from string import ascii_uppercase
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
from hermes_lab.datasets.choices import add_letters
from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.records import Record, records_of
from hermes_stream.errors import AnnotationError

KEYS = ("video_path", "questions")
TABLE_KEYS = ("question_id", "task_type", "time_stamp")
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

_READ = Keys(options="options", is_letter=True, kinds=("question_type", "task_type"))
_SAMPLE = re.compile(r"(?:.*_)?(sample_\d+|\d+)_\d+")


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "questions" in keys


def reads_table(keys: set[str]) -> bool:
    """Say whether these are the columns of its table."""
    return keys.issuperset(TABLE_KEYS)


def read(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a document."""
    for k, entry in enumerate(document):
        earlier: list[EvalQuestion] = []
        for clip in records_of(entry, f"[{k}]") if isinstance(entry, list) else [Record(entry, f"[{k}]")]:
            for found in _questions(clip):
                yield _after(found, earlier) if isinstance(entry, list) else found


def read_table(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a table, one a row; a question's name tells its video."""
    for record in records_of(document):

        def read_row(odd: list[str], record: Record = record) -> Found:
            return Found(video=_video_of(record), question=_question(record, odd))

        yield find(read_row)


def _questions(clip: Record) -> Iterator[Found]:
    try:
        records = clip.records("questions")
    except AnnotationError as error:
        yield Found(video="", question=UNREADABLE, oddities=(str(error),))
        return
    for record in records:

        def read_one(odd: list[str], record: Record = record) -> Found:
            return Found(
                video=clip.text("video_path"),
                question=_question(record, odd),
                duration_seconds=clip.seconds_if_any("duration"),
            )

        yield find(read_one)


def _question(record: Record, odd: list[str]) -> EvalQuestion | str:
    asked_seconds = record.seconds("time_stamp")
    kind = record.text_or("question", *_READ.kinds)
    if not record.has("ground_truth_output", "ground_truth_time_stamp"):
        return read_question(record, odd, kind=kind, asked_seconds=asked_seconds, keys=_READ)
    return EvalQuestion(
        question_id=record.text_or(record.place, "question_id", "id"),
        text=record.text("question"),
        answer=record.text("ground_truth_output"),
        kind=kind,
        asked_seconds=asked_seconds,
        form="proactive",
        due_seconds=record.seconds("ground_truth_time_stamp"),
    )


def _after(found: Found, earlier: list[EvalQuestion]) -> Found:
    """Put the earlier questions of a sequence, with their right answers, before a question of it."""
    question = found.question
    if isinstance(question, str):
        return found
    if not earlier:
        preamble = ""
    else:
        told = [
            f"At {one.asked_seconds:g} s: {one.text}\n{_lettered(one)}Answer: {_truth(one)}"
            for one in earlier
        ]
        preamble = "\n".join(["Earlier questions about this video and their answers:", *told, "", ""])
    earlier.append(question)
    return replace(found, question=replace(question, preamble=preamble))


def _lettered(question: EvalQuestion) -> str:
    return "".join(f"{option}\n" for option in add_letters(question.options))


def _truth(question: EvalQuestion) -> str:
    index = question.answer_index
    return question.answer if index is None else f"{ascii_uppercase[index]}. {question.answer}"


def _video_of(record: Record) -> str:
    """Return where the data set has a row's video, ``sample_N/video.mp4``, by the question's name."""
    if record.has("video_path", "video"):
        return record.text("video_path", "video")
    match = _SAMPLE.fullmatch(record.text("question_id"))
    if match is None:
        raise record.wrong("question_id", "a name that ends in sample_N_K, N being the video's number")
    return f"sample_{match[1].removeprefix('sample_')}/video.mp4"


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
