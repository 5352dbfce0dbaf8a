"""Video-MME: a table of questions about whole videos, three for each, reported by the videos' length."""

from __future__ import annotations

from hermes_lab.datasets.annotated_questions import AnnotatedQuestion, Dialect, Keys, read_question
from hermes_lab.datasets.entry import Entry

_KEYS = Keys(is_letter=True, kinds=("task_type", "question_type"))


def _read(row: Entry, _: Entry, oddities: list[str]) -> AnnotatedQuestion:
    length = row.text("duration", "duration_category", default="")
    question = read_question(row, oddities, keys=_KEYS, group=length)
    return AnnotatedQuestion(video=row.text("videoID"), question=question)


DIALECT = Dialect(signatures=(("videoID",),), read=_read)
