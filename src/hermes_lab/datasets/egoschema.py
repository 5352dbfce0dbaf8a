"""EgoSchema: questions with five options about whole videos, as its authors write them or as the hub's table.

The authors' questions have options ``option 0`` to ``option 4``, and their answers are in another file beside
them; most answers are kept secret, and such questions can be asked, but not scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hermes_lab.datasets.annotated_entries import Found, Keys, find, read_question
from hermes_lab.datasets.records import Record, records_of

KEYS = ("question_idx or q_uid", "option or option 0")
ANSWERS_FILE = "subset_answers.json"
"""What the authors call the file with the answers that are public."""

_READ = Keys(options="option", index="answer")
_NUM_OPTIONS = 5


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return "q_uid" in keys or keys.issuperset({"question_idx", "video_idx"})


def with_answers(document: list[Any], answers: dict[str, Any]) -> list[Any]:
    """Return the entries, each with its answer where the authors' other file has it."""
    if not answers:
        return document
    return [{"answer": answers.get(str(entry.get("q_uid"))), **entry} for entry in document]


def read(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a document."""
    for record in records_of(document):

        def read_one(odd: list[str], record: Record = record) -> Found:
            own = _in_one_form(record)
            question = read_question(own, odd, kind="egoschema", asked_seconds=math.inf, keys=_READ)
            return Found(video=own.text("video_idx", "q_uid"), question=question)

        yield find(read_one)


def _in_one_form(record: Record) -> Record:
    fields = dict(record.fields)
    lettered = [f"option {k}" for k in range(_NUM_OPTIONS)]
    if "option" not in fields and record.has(*lettered):
        fields["option"] = [fields[name] for name in lettered if fields.get(name) is not None]
    fields["question_id"] = fields.get("question_id") or fields.get("q_uid") or fields.get("question_idx")
    return Record(fields, record.place)
