"""Stored responses: one JSON document a line, from which scores are computed again without any model.

A line needs ``question_id`` and ``response``; the other keys of ``line_of`` are read where they are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_lab.datasets.choices import LETTERS
from hermes_lab.datasets.entry import whole_letters
from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.files import read_text
from hermes_lab.datasets.response_files import BESIDE
from hermes_lab.evaluation.predictions import Prediction, Reply
from hermes_lab.evaluation.scorers import strict
from hermes_stream.errors import AnnotationError

_ENDLESS = 1e15
_COUNTS = (
    "num_frames",
    "num_visual_tokens_seen",
    "num_visual_tokens_kept",
    "cache_bytes",
    "host_bytes",
)


def line_of(one: Prediction) -> dict[str, Any]:
    """Return a prediction as a line stores it; of a choice, the response is the letter."""
    question, reply = one.question, one.reply
    chosen = reply.option_index
    return {
        "question_id": question.question_id,
        "video": one.video,
        "kind": question.kind,
        "question": question.text,
        "options": list(question.options),
        "response": reply.text if chosen is None else LETTERS[chosen],
        "option_index": chosen,
        "options_shown": reply.options_shown,
        "truth": question.answer,
        "is_right": strict(one),
        "at_seconds": round(one.at_seconds, 6),
        "is_past_end": one.is_past_end,
        "delay_seconds": question.delay_seconds,
        "ttft_seconds": round(reply.ttft_seconds, 6),
        **{name: getattr(reply, name) for name in _COUNTS},
        "took_seconds": round(one.took_seconds, 3),
    }


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file; a last line that was cut while it was written is dropped.

    Raises:
        AnnotationError: the file cannot be read, or a whole line is no response to a question.
    """
    text = read_text(path)
    *whole, rest = text.split("\n")
    lines = [_line(path, number, line) for number, line in enumerate(whole, 1) if line.strip()]
    try:
        return [*lines, _line(path, len(whole) + 1, rest)] if rest.strip() else lines
    except AnnotationError:
        return lines


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f"{path}: line {number} is not JSON: {error}; give one JSON document a line"
        ) from error
    if not isinstance(line, dict) or not isinstance(line.get("question_id"), str | int):
        raise AnnotationError(
            f"{path}: line {number} names no question; a line must be an object with question_id and response"
        )
    return line


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Responses with the questions that they answer.

    Attributes:
        predictions: in the order of the annotations.
        unanswered: questions without a response.
        unknown: names among the responses that no question has, or that asks something else.
        num_repeated: responses to questions that a later line answers again; the last one counts.
    """

    predictions: list[Prediction]
    unanswered: list[str]
    unknown: list[str]
    num_repeated: int


def join(episodes: Iterable[Episode], lines: Sequence[dict[str, Any]]) -> Joined:
    """Find the question of every response by its name.

    Args:
        episodes: what was asked.
        lines: of one run, or of all its parts.
    """
    by_name = {whole_letters(str(line["question_id"])): line for line in lines}
    pairs = [(one, question) for one in episodes for question in one.questions]
    answered = {
        question.question_id: by_name[question.question_id]
        for _, question in pairs
        if question.question_id in by_name and _is_about(question, by_name[question.question_id])
    }
    return Joined(
        predictions=[
            _prediction(episode, question, answered[question.question_id])
            for episode, question in pairs
            if question.question_id in answered
        ],
        unanswered=[q.question_id for _, q in pairs if q.question_id not in answered],
        unknown=[name for name in by_name if name not in answered],
        num_repeated=len(lines) - len(by_name),
    )


def _is_about(question: EvalQuestion, line: dict[str, Any]) -> bool:
    """Say whether a response named by its place in a file stands beside the question of that place."""
    return line.get(BESIDE, question.text) == question.text


def _prediction(episode: Episode, question: EvalQuestion, line: dict[str, Any]) -> Prediction:
    response, index = line.get("response"), line.get("option_index")
    is_index = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(question.options)
    text = _text_of(response)
    # without its moment nobody can say whether a proactive answer came in time
    is_timed = question.form != "proactive" or not text or _number(line, "at_seconds", -1.0) >= 0
    counts: dict[str, Any] = {name: int(_number(line, name, 0)) for name in _COUNTS}
    reply = Reply(
        text=text or "",
        option_index=index if is_index else None,
        options_shown=line.get("options_shown") is not False,
        is_readable=is_index or (text is not None and is_timed),
        ttft_seconds=_number(line, "ttft_seconds", 0.0),
        **counts,
    )
    return Prediction(
        video=episode.video,
        question=question,
        reply=reply,
        at_seconds=_number(line, "at_seconds", question.asked_seconds),
        is_past_end=line.get("is_past_end") is True,
        took_seconds=_number(line, "took_seconds", 0.0),
    )


def _text_of(response: Any) -> str | None:
    """Return a response as text, empty where there was none; None if nobody can tell what it says.

    Some systems store a list that holds the one text of their batch.
    """
    if isinstance(response, list) and len(response) <= 1:
        response = response[0] if response else None
    if response is None:
        return ""
    is_text = isinstance(response, str | int | float) and not isinstance(response, bool)
    return str(response) if is_text else None


def _number(line: dict[str, Any], name: str, default: float) -> float:
    value = line.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _ENDLESS
    return value if is_number and value is not None else default
