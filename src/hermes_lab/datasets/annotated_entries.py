"""From questions, as a dialect finds them in any order, to one episode for each video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from hermes_lab.datasets.choices import are_usable, drop_letters, find_answer
from hermes_lab.datasets.episode import Episode, EvalQuestion, Form, Span
from hermes_lab.datasets.records import Record
from hermes_stream.errors import AnnotationError

UNREADABLE = "cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One question of the annotations, or why it is left out.

    Attributes:
        video: the path of its video, as annotated.
        question: the question, or the reason why there is none.
        duration_seconds: length of the video, where the annotations say so.
        clip: the part of the video that it is about; None is all of it.
        pictures_fps: how many pictures a second the video has, where it is no video file.
        oddities: what is strange about it, each with its place.
    """

    video: str
    question: EvalQuestion | str
    duration_seconds: float | None = None
    clip: Span | None = None
    pictures_fps: float | None = None
    oddities: tuple[str, ...] = ()


def find(read: Callable[[list[str]], Found]) -> Found:
    """Return what a dialect reads of one question; what cannot be read is an oddity and no end of the file.

    Args:
        read: reads it, and adds to a list what is strange about it.
    """
    odd: list[str] = []
    try:
        found = read(odd)
    except AnnotationError as error:
        return Found(video="", question=UNREADABLE, oddities=(*odd, str(error)))
    return replace(found, oddities=tuple(odd))


def gather(found: Iterable[Found]) -> tuple[list[Episode], list[str]]:
    """Return one episode for each video, or part of one, and all oddities.

    Videos come in the order found, questions earliest first. Names that several questions have are numbered.
    """
    every = list(found)
    oddities = [odd for one in every for odd in one.oddities]
    by_video: dict[tuple[str, Span | None], list[Found]] = {}
    for one in _with_own_names(every, oddities):
        by_video.setdefault((one.video, one.clip), []).append(one)
    return [_episode(ones) for ones in by_video.values()], oddities


def _with_own_names(every: list[Found], oddities: list[str]) -> Iterable[Found]:
    taken: Counter[str] = Counter()
    for one in every:
        if isinstance(one.question, str):
            yield one
            continue
        name = one.question.question_id
        taken[name] += 1
        if taken[name] == 1:
            yield one
        else:
            own = f"{name}#{taken[name]}"
            oddities.append(f"several questions are called {name!r}; number {taken[name]} of them is {own!r}")
            yield replace(one, question=replace(one.question, question_id=own))


def _episode(ones: list[Found]) -> Episode:
    questions = [one.question for one in ones if isinstance(one.question, EvalQuestion)]
    durations = (one.duration_seconds for one in ones if one.duration_seconds is not None)
    return Episode(
        video=ones[0].video,
        questions=tuple(sorted(questions, key=lambda question: question.asked_seconds)),
        duration_seconds=next(durations, None),
        left_out=tuple(one.question for one in ones if isinstance(one.question, str)),
        clip=ones[0].clip,
        pictures_fps=ones[0].pictures_fps,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where a dialect has what it says of a question.

    Attributes:
        options: where options are; none there is an open question.
        index: where it may say which option is right, whatever the answer's text.
        is_letter: whether an answer that could be either is a letter, not a text.
        kinds: where the kind is, the first that is there.
    """

    options: str = "options"
    index: str | None = None
    is_letter: bool = False
    kinds: tuple[str, ...] = ("question_type",)


def read_question(
    record: Record,
    odd: list[str],
    *,
    kind: str,
    asked_seconds: float,
    keys: Keys,
    form: Form = "words",
    group: str = "",
) -> EvalQuestion | str:
    """Read a question whose answer is a text or one of some options; return why not where it cannot be asked.

    The keys ``question_id`` and ``temporal_windows`` are read wherever they are.

    Args:
        record: holds ``question``, and perhaps ``answer`` and options.
        odd: takes what is strange about it.
        kind: what the dialect calls the kind, where no key of the record says it.
        asked_seconds: the moment of asking.
        keys: where the dialect has things.
        form: what an answer without options is.
        group: what the question is reported with.

    Raises:
        AnnotationError: a key is missing or wrong.
    """
    kind = record.text_or(kind, *keys.kinds)
    options = drop_letters(record.texts(keys.options))
    if options and not are_usable(options):
        odd.append(f"{record.place}: {len(options)} options, or an empty one; nothing can be chosen")
        return f"{kind}: more than 26 options, or an empty one"
    if len(options) == 1:
        odd.append(f"{record.place}: only one option, {options[0]!r}")
    index = _index(record, options, keys, odd) if options else None
    answer = record.text_or("", "answer") if index is None else options[index]
    if not answer:
        odd.append(f"{record.place}: no answer is given; it can be asked, but not scored")
    return EvalQuestion(
        question_id=record.text_or(record.place, "question_id", "id"),
        text=record.text("question"),
        answer=answer,
        options=options,
        answer_index=index,
        kind=kind,
        asked_seconds=asked_seconds,
        evidence=_evidence(record, odd),
        form=form,
        group=group,
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


def _evidence(record: Record, odd: list[str]) -> tuple[Span, ...]:
    try:
        return record.spans("temporal_windows")
    except AnnotationError as error:
        odd.append(str(error))
        return ()


def _index(record: Record, options: tuple[str, ...], keys: Keys, odd: list[str]) -> int | None:
    """Return which option is right; None, with an oddity, where the annotations do not say it."""
    if keys.index and record.has(keys.index):
        try:
            return record.index(keys.index, len(options))
        except AnnotationError as error:
            odd.append(str(error))
    if not record.has("answer"):
        return None
    answer = record.text("answer")
    index = find_answer(answer, options, is_letter=keys.is_letter)
    if index is None:
        shown = ", ".join(map(repr, options))
        odd.append(f"{record.place}: the answer {answer!r} is none of the options {shown}; nothing is right")
    return index
