"""From questions, as a dialect finds them in any order, to one episode for each video."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hermes_stream.errors import AnnotationError
from hermes_stream.evals.base import Episode, EvalQuestion
from hermes_stream.evals.choices import are_usable, drop_letters, find_answer
from hermes_stream.evals.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One question of the annotations, or why it is left out.

    Attributes:
        video: the path of its video, as annotated.
        question: the question, or the reason why there is none.
        duration_seconds: length of the video, where the annotations say so.
    """

    video: str
    question: EvalQuestion | str
    duration_seconds: float | None = None


def gather(found: Iterable[Found]) -> list[Episode]:
    """Return one episode for each video, videos in the order found, questions earliest first."""
    by_video: dict[str, list[Found]] = {}
    for one in found:
        by_video.setdefault(one.video, []).append(one)
    return [_episode(video, ones) for video, ones in by_video.items()]


def _episode(video: str, ones: list[Found]) -> Episode:
    questions = [one.question for one in ones if isinstance(one.question, EvalQuestion)]
    durations = (one.duration_seconds for one in ones if one.duration_seconds is not None)
    return Episode(
        video=video,
        questions=tuple(sorted(questions, key=lambda question: question.asked_seconds)),
        duration_seconds=next(durations, None),
        left_out=tuple(one.question for one in ones if isinstance(one.question, str)),
    )


def read_question(
    record: Record,
    *,
    kind: str,
    asked_seconds: float,
    options_key: str,
    index_key: str | None = None,
    is_letter: bool = False,
) -> EvalQuestion | str:
    """Read a question whose answer is a text or one of some options; return why not where it cannot be asked.

    The keys ``question_id``, ``question_type`` and ``temporal_windows`` are read wherever they are.

    Args:
        record: holds ``question``, ``answer`` and perhaps options.
        kind: what the dialect calls the kind, where there is no ``question_type``.
        asked_seconds: the moment of asking.
        options_key: where options are; none there is an open question.
        index_key: where it may say which option is right, whatever the answer's text.
        is_letter: whether an answer that could be either is a letter, not a text.

    Raises:
        AnnotationError: a key is missing or wrong, or the answer is none of the options.
    """
    kind = record.text_or(kind, "question_type")
    options, index = drop_letters(record.texts(options_key)), None
    if options and not are_usable(options):
        return f"{kind}: fewer than two options, or an empty one"
    if options and index_key and record.has(index_key):
        index = record.index(index_key, len(options))
    elif options:
        index = _index_of_answer(record, options, is_letter=is_letter)
    return EvalQuestion(
        question_id=record.text_or(record.place, "question_id", "id"),
        text=record.text("question"),
        answer=record.text("answer") if index is None else options[index],
        options=options,
        answer_index=index,
        kind=kind,
        asked_seconds=asked_seconds,
        evidence=record.spans("temporal_windows"),
    )


def keys_of_question(question: EvalQuestion) -> dict[str, Any]:
    """Return what every dialect writes of a question beside its own keys, and ``read_question`` reads."""
    return {
        "question_type": question.kind,
        "temporal_windows": [list(span) for span in question.evidence],
        "question_id": question.question_id,
    }


def keys_of_episode(episode: Episode) -> dict[str, Any]:
    """Return what every dialect writes of a video beside its own keys: its length, where it is known."""
    return {} if episode.duration_seconds is None else {"duration": episode.duration_seconds}


def _index_of_answer(record: Record, options: tuple[str, ...], *, is_letter: bool) -> int:
    answer = record.text("answer")
    index = find_answer(answer, options, is_letter=is_letter)
    if index is None:
        raise AnnotationError(
            f"{record.place}: the answer {answer!r} is none of the options "
            f"{', '.join(map(repr, options))}; correct one of them"
        )
    return index
