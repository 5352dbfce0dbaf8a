"""From the entries of an annotation file to episodes: what a dialect is, and what all dialects share.

A dialect says how an entry tells its questions; a question that cannot be read is noted and stops nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hermes_lab.datasets.choices import are_usable, drop_letters, find_answer, without_blanks
from hermes_lab.datasets.entry import Entry, entries_of, whole_letters
from hermes_lab.datasets.episode import Episode, EvalQuestion, Span
from hermes_lab.datasets.files import Document
from hermes_stream.errors import AnnotationError


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedQuestion:
    """One question of an annotation file, with what the file says of its video.

    Attributes:
        video: the path of the video, as annotated.
        question: the question, or the reason why it is left out.
        duration_seconds: length of the video, where the annotations say so.
        clip: the part of the video that the question is about; None is all of it.
        pictures_fps: pictures per second of a video that is no video file.
    """

    video: str
    question: EvalQuestion | str
    duration_seconds: float | None = None
    clip: Span | None = None
    pictures_fps: float | None = None


_UNREADABLE = AnnotatedQuestion(video="", question="cannot be read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One form of annotation files.

    Attributes:
        signatures: sets of keys; a file has this form if its first entry has all keys of one of them.
        read: reads one question; takes the question's entry, the entry that lists it, and a list of oddities
            to add to.
        questions_of: lists the questions of an entry; by default an entry is one question itself.
        in_sequence: changes questions whose entries are in a list of their own.
        complete: returns a file's entries with what the file's name and its neighbours say of them.
        write: makes the entries that say the same as episodes; None if the dialect is only read.
    """

    signatures: tuple[tuple[str, ...], ...]
    read: Callable[[Entry, Entry, list[str]], AnnotatedQuestion]
    questions_of: Callable[[Entry], list[Entry]] = lambda entry: [entry]
    in_sequence: Callable[[list[AnnotatedQuestion]], list[AnnotatedQuestion]] = lambda questions: questions
    complete: Callable[[Document], list[Any]] = lambda document: document.entries
    write: Callable[[Sequence[Episode]], list[Any]] | None = None

    def matches(self, entry: Entry) -> bool:
        """Say whether an entry has the keys of this dialect."""
        return any(entry.fields.keys() >= set(keys) for keys in self.signatures)

    def episodes(self, document: list[Any]) -> tuple[list[Episode], list[str]]:
        """Return one episode for each video, or part of one, and what is odd about the entries.

        Videos come in the order of the document, questions earliest first. Of questions with one name, all
        but the first get a number.

        Args:
            document: objects, or lists of them.
        """
        oddities: list[str] = []
        every: list[AnnotatedQuestion] = []
        for k, value in enumerate(document):
            own = [one for entry in entries_of(value, f"[{k}]") for one in self._questions(entry, oddities)]
            every += self.in_sequence(own) if isinstance(value, list) else own
        by_video: dict[tuple[str, Span | None], list[AnnotatedQuestion]] = {}
        for one in _uniquely_named(every, oddities):
            by_video.setdefault((one.video, one.clip), []).append(one)
        return [_episode(ones) for ones in by_video.values()], oddities

    def _questions(self, entry: Entry, oddities: list[str]) -> Iterator[AnnotatedQuestion]:
        try:
            questions = self.questions_of(entry)
        except AnnotationError as error:
            oddities.append(str(error))
            yield _UNREADABLE
            return
        for question in questions:
            try:
                yield _well_formed(self.read(question, entry, oddities))
            except AnnotationError as error:
                oddities.append(str(error))
                yield _UNREADABLE


def _well_formed(one: AnnotatedQuestion) -> AnnotatedQuestion:
    """Replace halves of letters, which JSON can hold and no tokenizer can read."""
    if isinstance(one.question, str):
        return replace(one, question=whole_letters(one.question))
    question = one.question
    whole = replace(
        question,
        question_id=whole_letters(question.question_id),
        text=whole_letters(question.text),
        answer=whole_letters(question.answer),
        options=tuple(map(whole_letters, question.options)),
        kind=whole_letters(question.kind),
        group=whole_letters(question.group),
    )
    return replace(one, question=whole)


def _uniquely_named(every: list[AnnotatedQuestion], oddities: list[str]) -> Iterator[AnnotatedQuestion]:
    times_used: Counter[str] = Counter()
    known = {one.question.question_id for one in every if isinstance(one.question, EvalQuestion)}
    for one in every:
        name = "" if isinstance(one.question, str) else one.question.question_id
        times_used[name] += 1
        if isinstance(one.question, str) or times_used[name] == 1:
            yield one
            continue
        while (unique := f"{name}#{times_used[name]}") in known:
            times_used[name] += 1
        oddities.append(f"several questions are called {name!r}; one of them is {unique!r} from here on")
        yield replace(one, question=replace(one.question, question_id=unique))


def _episode(ones: list[AnnotatedQuestion]) -> Episode:
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
    """The keys under which a dialect describes a question.

    Attributes:
        options: key of the options; a question without it is open.
        index: key of the right option's index, which goes before the answer's text.
        is_letter: whether an answer that could be either is a letter, not a text.
        kinds: keys of the kind, the first that is there.
    """

    options: str = "options"
    index: str | None = None
    is_letter: bool = False
    kinds: tuple[str, ...] = ("question_type",)


def read_question(
    entry: Entry,
    oddities: list[str],
    *,
    keys: Keys,
    kind: str = "question",
    asked_seconds: float = math.inf,
    group: str = "",
) -> EvalQuestion | str:
    """Read a question whose answer is a text or one of some options; return why not if it cannot be asked.

    The keys ``question_id`` and ``temporal_windows`` are read in every dialect.

    Args:
        entry: holds ``question``, and perhaps ``answer`` and options.
        oddities: takes what is strange about it.
        keys: keys of the dialect.
        kind: the kind, if no key of the entry says it.
        asked_seconds: the moment of asking; infinity is the end of the video.
        group: what the question is reported with.

    Raises:
        AnnotationError: a key is missing or wrong.
    """
    kind = entry.text(*keys.kinds, default=kind)
    annotated = entry.texts(keys.options)
    options = without_blanks(annotated)
    num_blank = sum(not text.strip() for text in drop_letters(annotated))
    num_left = min(len(options), len(annotated) - num_blank)
    if annotated and (not are_usable(options) or num_left < min(len(annotated), 2)):
        oddities.append(
            f"{entry.location}: {len(annotated)} options, {num_left} with text; nothing to choose"
        )
        return f"{kind}: more than 26 options, or all but one empty"
    if num_blank:
        oddities.append(f"{entry.location}: {num_blank} of {len(annotated)} options are blank")
    if len(options) == 1:
        oddities.append(f"{entry.location}: only one option, {options[0]!r}")
    index = _answer_index(entry, options, keys, oddities) if options else None
    answer = entry.text("answer", default="") if index is None else options[index]
    if not answer:
        oddities.append(f"{entry.location}: no answer is given; it can be asked, but not scored")
    return EvalQuestion(
        question_id=name_of(entry),
        text=entry.text("question"),
        answer=answer,
        options=options,
        answer_index=index,
        kind=kind,
        asked_seconds=asked_seconds,
        evidence=_evidence(entry, oddities),
        group=group,
    )


def name_of(entry: Entry) -> str:
    """Return a question's name: what the annotations call it, else where it stands in the file."""
    return entry.text("question_id", "id", default=entry.location)


def question_keys(question: EvalQuestion) -> dict[str, Any]:
    """Return what every dialect writes of a question beside its own keys, as ``read_question`` reads it."""
    return {
        "question_type": question.kind,
        "temporal_windows": [list(span) for span in question.evidence],
        "question_id": question.question_id,
    }


def episode_keys(episode: Episode) -> dict[str, Any]:
    """Return what every dialect writes of a video beside its own keys: its length, if it is known."""
    return {} if episode.duration_seconds is None else {"duration": episode.duration_seconds}


def _evidence(entry: Entry, oddities: list[str]) -> tuple[Span, ...]:
    try:
        return entry.spans("temporal_windows")
    except AnnotationError as error:
        oddities.append(str(error))
        return ()


def _answer_index(entry: Entry, options: tuple[str, ...], keys: Keys, oddities: list[str]) -> int | None:
    """Return which option is right; None, with an oddity, if the annotations do not say it."""
    if keys.index and entry.has(keys.index):
        try:
            return entry.whole(keys.index, below=len(options))
        except AnnotationError as error:
            oddities.append(str(error))
    if not entry.has("answer"):
        return None
    answer = entry.text("answer")
    index = find_answer(answer, options, is_letter=keys.is_letter)
    if index is None:
        shown = ", ".join(map(repr, options))
        oddities.append(
            f"{entry.location}: the answer {answer!r} is none of the options {shown}; nothing is right"
        )
    return index
