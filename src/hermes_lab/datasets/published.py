"""Responses as the benchmarks' own code stores them, turned into lines of ``question_id`` and ``response``.

OVO-Bench stores an object with ``backward``, ``realtime`` and ``forward``; StreamingBench its annotations
with each response beside its question, under the system's name. Lists of lines are taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hermes_lab.datasets.files import read_json
from hermes_lab.datasets.ovo import CATEGORIES
from hermes_lab.datasets.records import Record, records_of
from hermes_stream.errors import AnnotationError

_ANNOTATED = {
    "task_type",
    "question",
    "time_stamp",
    "answer",
    "options",
    "required_ability",
    "audio_path",
    "time",
    "question_id",
    "question_type",
    "temporal_windows",
    "ground_truth_time_stamp",
    "ground_truth_output",
}


def read_published(path: Path) -> list[dict[str, Any]]:
    """Return the responses of a JSON file.

    Raises:
        AnnotationError: the file cannot be read, or holds no responses in a known form.
    """
    document = read_json(path)
    try:
        if isinstance(document, dict) and document.keys() & CATEGORIES.keys():
            return [line for name in CATEGORIES for line in _of_ovo(document.get(name) or [])]
        if isinstance(document, list) and document:
            first = next(records_of(document), None)
            if first is not None and first.has("questions"):
                return list(_of_streamingbench(document))
            if first is not None and "question_id" in first.fields:
                return [dict(record.fields) for record in records_of(document)]
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error
    raise AnnotationError(
        f"{path} holds no responses in a known form; give lines of question_id and response (JSONL), or what "
        "the code of OVO-Bench or StreamingBench stores"
    )


def _of_ovo(items: list[Any]) -> Iterator[dict[str, Any]]:
    for record in records_of(items):
        name = record.text("id")
        if not record.has("test_info"):
            yield {"question_id": name, "response": record.fields.get("response")}
            continue
        for number, probe in enumerate(record.records("test_info")):
            yield {"question_id": f"{name}_{number}", "response": probe.fields.get("response")}


def _of_streamingbench(document: list[Any]) -> Iterator[dict[str, Any]]:
    for clip in records_of(document):
        for record in clip.records("questions"):
            name = record.text_or(record.place, "question_id", "id")
            yield {"question_id": name, "response": _response_beside(record)}


def _response_beside(record: Record) -> Any:
    """Return what stands beside a question under a key of its own; None where nothing does.

    Raises:
        AnnotationError: several systems answered.
    """
    own = [key for key in record.fields if key not in _ANNOTATED]
    if len(own) > 1:
        raise AnnotationError(
            f"{record.place} has responses under {', '.join(own)}; leave those of one system in the file"
        )
    return record.fields[own[0]] if own else None
