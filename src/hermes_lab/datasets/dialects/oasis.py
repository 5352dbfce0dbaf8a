"""OASIS's form of streaming benchmarks: a list of videos, each with timed questions in ``breakpoint``."""

from __future__ import annotations

import math

from hermes_lab.datasets.annotated_questions import AnnotatedQuestion, Dialect, Keys, read_question
from hermes_lab.datasets.choices import LETTERS, without_blanks
from hermes_lab.datasets.entry import Entry

_END_SECONDS = 99_999.0
_KEYS = Keys(index="gt", kinds=("task", "question_type"))


def _read(question: Entry, video: Entry, oddities: list[str]) -> AnnotatedQuestion:
    fields = video.fields.get("info")
    about = Entry(fields, f"{video.location}.info") if isinstance(fields, dict) else video
    seconds = question.seconds_if_any("time")
    return AnnotatedQuestion(
        question=read_question(
            _with_index(question),
            oddities,
            keys=_KEYS,
            kind=about.text("dataset", default="question"),
            # the benchmark writes 99999 for the end of the video
            asked_seconds=math.inf if seconds is None or seconds >= _END_SECONDS else seconds,
        ),
        video=about.text("video_path", "video"),
        duration_seconds=about.seconds_if_any("duration"),
    )


def _with_index(question: Entry) -> Entry:
    """Replace the letter of the right option by its index; without one, the answer's text decides."""
    letter, options = question.fields.get("gt"), without_blanks(question.texts("options"))
    if isinstance(letter, str) and letter.strip() in set(LETTERS[: len(options)]):
        known: dict[str, object] = {"gt": LETTERS.index(letter.strip())}
    elif question.has("answer"):
        known = {"gt": None}
    else:
        known = {"answer": letter}
    return Entry({**question.fields, **known}, question.location)


DIALECT = Dialect(
    signatures=(("breakpoint",),), questions_of=lambda video: video.entries("breakpoint"), read=_read
)
