"""Responses as the benchmarks' own code stores them, turned into lines of ``question_id`` and ``response``.

OVO-Bench stores an object with ``backward``, ``realtime`` and ``forward``; StreamingBench its annotations
with each response beside its question, under the system's name, the response to a proactive question with the
dialogue that led to it. Lists of lines are taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hermes_lab.datasets.annotated_questions import name_of
from hermes_lab.datasets.entry import Entry, entries_of
from hermes_lab.datasets.files import read_json
from hermes_lab.datasets.task_groups import OVO_TASKS
from hermes_stream.errors import AnnotationError

BESIDE = "beside_question"
"""Key of a line that says which question a response stood beside, where only its place names it."""
_STREAMINGBENCH_KEYS = {
    "task_type",
    "question",
    "time_stamp",
    "answer",
    "options",
    "required_ability",
    "audio_path",
    "time",
    "question_id",
    "id",
    "question_type",
    "frames_required",
    "temporal_clue_type",
    "temporal_windows",
    "ground_truth_time_stamp",
    "ground_truth_output",
}

Line = dict[str, Any]


def read_responses(path: Path) -> list[Line]:
    """Return the responses of a JSON file.

    Raises:
        AnnotationError: the file cannot be read, or holds no responses in a known form.
    """
    document = read_json(path)
    try:
        if isinstance(document, dict) and document.keys() & OVO_TASKS.keys():
            return [line for category in OVO_TASKS for line in _of_ovo(document.get(category) or [])]
        first = next(entries_of(document), None) if isinstance(document, list) else None
        if first is not None and first.has("questions"):
            return list(_of_streamingbench(document))
        if first is not None and "question_id" in first.fields:
            return [dict(entry.fields) for entry in entries_of(document)]
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error
    raise AnnotationError(
        f"{path} holds no responses in a known form; give lines of question_id and response (JSONL), or what "
        "the code of OVO-Bench or StreamingBench stores"
    )


def _of_ovo(items: list[Any]) -> Iterator[Line]:
    for entry in entries_of(items):
        name = entry.text("id")
        if not entry.has("test_info"):
            yield {"question_id": name, "response": entry.fields.get("response")}
            continue
        for number, probe in enumerate(entry.entries("test_info")):
            yield {"question_id": f"{name}_{number}", "response": probe.fields.get("response")}


def _of_streamingbench(document: list[Any]) -> Iterator[Line]:
    for clip in entries_of(document):
        for question in clip.entries("questions"):
            beside = {BESIDE: question.text("question")}
            yield {"question_id": name_of(question), **beside, **_answer_in(_response_beside(question))}


def _answer_in(response: Any) -> Line:
    """Return a response; a proactive one is the last that was said, at the moment when that was said."""
    if not isinstance(response, dict):
        return {"response": response}
    said = response.get("dialog_history")
    turns = [turn for turn in said if isinstance(turn, dict)] if isinstance(said, list) else []
    own = next((turn for turn in reversed(turns) if turn.get("role") != "user"), {})
    answer = response.get("answer", own.get("content", response))
    return {"response": answer, "at_seconds": Entry(own, "").seconds_or_none("time")}


def _response_beside(question: Entry) -> Any:
    """Return what stands beside a question under a key of its own; None if nothing does.

    Raises:
        AnnotationError: several systems answered.
    """
    own = [key for key in question.fields if key not in _STREAMINGBENCH_KEYS]
    if len(own) > 1:
        raise AnnotationError(
            f"{question.location} has responses under {', '.join(own)}; leave those of one system in the file"
        )
    return question.fields[own[0]] if own else None
