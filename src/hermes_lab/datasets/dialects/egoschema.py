"""EgoSchema: questions with five options about whole videos, as its authors write them or as the hub's table.

The authors' questions have options ``option 0`` to ``option 4``, and their answers are in another file beside
them; most answers are kept secret, and such questions can be asked, but not scored.
"""

from __future__ import annotations

from typing import Any

from hermes_lab.datasets.annotated_questions import AnnotatedQuestion, Dialect, Keys, read_question
from hermes_lab.datasets.entry import Entry
from hermes_lab.datasets.files import Document, read_json

_ANSWERS_FILE = "subset_answers.json"
_KEYS = Keys(options="option", index="answer")
_OPTION_KEYS = [f"option {k}" for k in range(5)]


def _read(entry: Entry, _: Entry, oddities: list[str]) -> AnnotatedQuestion:
    fields = dict(entry.fields)
    if "option" not in fields and entry.has(*_OPTION_KEYS):
        fields["option"] = [fields[name] for name in _OPTION_KEYS if fields.get(name) is not None]
    fields["question_id"] = fields.get("question_id") or fields.get("q_uid") or fields.get("question_idx")
    question = Entry(fields, entry.location)
    return AnnotatedQuestion(
        question=read_question(question, oddities, kind="egoschema", keys=_KEYS),
        video=question.text("video_idx", "q_uid"),
    )


def _complete(document: Document) -> list[Any]:
    """Give the authors' questions the answers that are public."""
    file = document.path.with_name(_ANSWERS_FILE)
    answers = read_json(file) if file.is_file() else None
    if not isinstance(answers, dict):
        return document.entries
    return [
        {"answer": answers.get(str(entry.get("q_uid"))), **entry} if isinstance(entry, dict) else entry
        for entry in document.entries
    ]


DIALECT = Dialect(signatures=(("q_uid",), ("question_idx", "video_idx")), read=_read, complete=_complete)
