"""What is asked again and again, and when its answer is worth a word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from hermes_stream.stream.question import check_options
from hermes_stream.stream.watches.region import Point, checked_region
from hermes_stream.stream.watches.schedule import Schedule

WatchKind = Literal["alert", "state", "describe", "count"]
Calibration = Literal["none", "blank", "start"]
MAX_ALSO = 7
SURE, LIKELY = 0.9, 0.5
"""How likely yes must be to begin, and to go on, by measurement (docs/watches.md); any other new answer must
be likely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRules:
    """A standing question.

    All times are in seconds of the stream.

    Attributes:
        question: what is asked. An alert asks what is answered by yes or no; a count asks how many.
        kind: "alert" tells when yes begins and ends, "state" when the answer becomes another option,
            "describe" what is new, "count" when the number rises.
        name: of the watch; None is its question.
        every_seconds: ask no more often; None asks after each chunk. A watch is read when a chunk was
            folded, so that ``chunk_frames`` decides how old its answer may be.
        raise_at: how likely yes must be to raise, or a new option or number to count, in (0, 1]; None is 0.9
            for an alert that is answered by yes or no, else 0.5.
        clear_at: how likely yes may be at most to clear an alert, at most ``raise_at``; 0 never clears, for
            what stays true once it is, such as "was there a car?". None is 0.5, or ``raise_at``
            where that is less.
        hold_seconds: for how long an answer must hold before it is told.
        cooldown_seconds: silence after what was sent; the end of an alert that was sent is always sent.
        max_per_hour: sent in an hour, at most; None has no limit.
        options: of a state, or the numbers of a count in rising order, as words; a count without is read
            from zero to nine. An alert with options is raised while ``answer`` is what is chosen.
        answer: one of an alert's options, which counts as yes; the others together count as no.
        also: questions answered by yes or no that must be yes as well: of an alert, whose score is the least
            of them all; of a state, which stays as it is until all are 0.9 likely, and again from where one
            is less likely than not.
        given: a question answered by yes or no, of an alert: yes raises only where this was likelier yes than
            no at the last look before; "was there a car?", for a car that comes again.
        keeps_given: what was given at one look stays given: a memory lets go of what was there.
        onset: a question answered by yes or no, of an alert: yes begins only where this is likelier yes than
            no, and goes on without; "did a car come in the last two seconds?".
        nth: which time that yes begins is told, from 1 on; None tells each.
        region: corners (x, y) of the part of the picture that is looked at, in shares of its sides; the watch
            then sees the newest pictures alone, cut out, and not the memory. None is all.
        newest_seconds: how far back the question, and those of ``also``, read from the newest frame;
            ``given`` and ``onset`` read the whole memory, and so do all where it is None. What is asked
            about now is answered better without the past (docs/watches.md).
        context: what the model is told before the question, such as "parked cars are normal".
        language: in which a description is written, by its English name; a question answered by yes or no may
            be in it, and the model is told to say yes or no in English.
        schedule: when it speaks; None is always.
        group_above: an alert is not sent whose picture is so alike to that of the last one sent, from 0 to 1,
            where it differs most. None sends all.
        calibrate: take off how likely the answers are where there is nothing to see: on a "blank" picture,
            or in the stream's own first minute ("start"), in which nothing is told then; "none" takes
            nothing off.
        newness_quantile: how new a chunk must be to be described, among the newest 256 of the stream, in
            [0, 1); 0 describes each.
        max_new_tokens: of a description, at most.

    Raises:
        ValueError: a value is out of its range.
    """

    question: str
    kind: WatchKind = "alert"
    name: str | None = None
    every_seconds: float | None = None
    raise_at: float | None = None
    clear_at: float | None = None
    hold_seconds: float = 0.0
    cooldown_seconds: float = 0.0
    max_per_hour: int | None = None
    options: tuple[str, ...] | None = None
    answer: str | None = None
    also: tuple[str, ...] = ()
    given: str | None = None
    keeps_given: bool = False
    onset: str | None = None
    nth: int | None = None
    region: tuple[Point, ...] | None = None
    newest_seconds: float | None = None
    context: str | None = None
    language: str | None = None
    schedule: Schedule | None = None
    group_above: float | None = None
    calibrate: Calibration = "none"
    newness_quantile: float = 0.9
    max_new_tokens: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.question, str) or not self.question.strip():
            raise ValueError(f"a question must be a non-empty text, got {self.question!r}")
        _check_one_of("kind", self.kind, get_args(WatchKind))
        _check_one_of("calibrate", self.calibrate, get_args(Calibration))
        self._check_numbers()
        if self.options is not None:
            check_options(self.options)
            object.__setattr__(self, "options", tuple(self.options))
        if self.kind == "state" and self.options is None:
            raise ValueError('a state needs options to choose from, such as options=("open", "closed")')
        self._check_options()
        self._check_conditions()
        self._check_view()

    def _check_view(self) -> None:
        if self.newest_seconds is not None:
            _check_seconds("newest_seconds", self.newest_seconds)
            if self.newest_seconds == 0:
                raise ValueError("newest_seconds must be above 0, or None for the whole memory; got 0")
            if self.kind == "describe":
                raise ValueError(
                    "a description reads the whole memory, and takes no newest_seconds; leave it out"
                )
            if self.region is not None:
                raise ValueError(
                    "a region is seen in the newest pictures alone, and takes no newest_seconds; leave it out"
                )
        if self.region is not None:
            object.__setattr__(self, "region", checked_region(self.region))
            if self.kind == "describe":
                raise ValueError("a description reads the whole memory, and takes no region; leave it out")
        for name in ("context", "language"):
            text = getattr(self, name)
            if text is not None and (not isinstance(text, str) or not text.strip()):
                raise ValueError(f"{name} must be a non-empty text, or None; got {text!r}")
        if self.group_above is not None and not 0 <= self.group_above <= 1:
            raise ValueError(f"group_above must be from 0 to 1, or None; got {self.group_above}")
        if self.group_above is not None and self.kind != "alert":
            raise ValueError(f"group_above belongs to an alert; this is a {self.kind}")

    def _check_options(self) -> None:
        if self.kind == "describe" and self.options is not None:
            raise ValueError("a watch of kind 'describe' takes no options; leave them out, or use a state")
        if self.answer is not None and self.kind != "alert":
            raise ValueError(f"answer belongs to an alert with options; this is a {self.kind}")
        if self.kind == "alert" and (self.options is None) != (self.answer is None):
            raise ValueError(
                "an alert takes no options without the answer that raises it, nor an answer without options; "
                'give both, such as options=("open", "closed"), answer="open", or use a state'
            )
        if self.answer is not None and self.answer not in (self.options or ()):
            raise ValueError(f"answer must be one of {', '.join(self.options or ())}; got {self.answer!r}")

    def _check_conditions(self) -> None:
        if isinstance(self.also, str) or len(self.also) > MAX_ALSO:
            raise ValueError(f"also must be a list of at most {MAX_ALSO} questions, got {self.also!r}")
        object.__setattr__(self, "also", tuple(self.also))
        for text in self.conditions:
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"a question must be a non-empty text, got {text!r}")
        if self.also and self.kind not in ("alert", "state"):
            raise ValueError(f"also belongs to an alert or a state; this is a {self.kind}")
        for name in ("given", "onset", "nth"):
            if getattr(self, name) is not None and self.kind != "alert":
                raise ValueError(f"{name} belongs to an alert; this is a {self.kind}")
        if self.keeps_given and self.given is None:
            raise ValueError(
                "keeps_given belongs to a question that must be given; leave it out, or give one"
            )

    def _check_numbers(self) -> None:
        for name in ("hold_seconds", "cooldown_seconds"):
            _check_seconds(name, getattr(self, name))
        if self.every_seconds is not None:
            _check_seconds("every_seconds", self.every_seconds)
        if not 0 < self.raises_at <= 1:
            raise ValueError(f"raise_at must be above 0 and at most 1, got {self.raise_at}")
        if not 0 <= self.clears_at <= self.raises_at:
            raise ValueError(
                f"clear_at must be from 0 to raise_at, {self.raises_at}; got {self.clear_at}: between them "
                "an alert stays as it is"
            )
        if not 0 <= self.newness_quantile < 1:
            raise ValueError(f"newness_quantile must be at least 0 and below 1, got {self.newness_quantile}")
        for name, least in (("max_per_hour", 1), ("max_new_tokens", 1), ("nth", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")

    @property
    def raises_at(self) -> float:
        """How likely yes, or a new answer, must be."""
        if self.raise_at is not None:
            return self.raise_at
        return SURE if self.kind == "alert" and self.options is None else LIKELY

    @property
    def clears_at(self) -> float:
        """How likely yes may be at most to clear an alert."""
        if self.clear_at is not None:
            return self.clear_at
        return min(LIKELY, self.raises_at)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Questions answered by yes or no that are asked besides: ``also``, ``given``, ``onset``."""
        return (*self.also, *(one for one in (self.given, self.onset) if one is not None))

    def worded(self, text: str) -> str:
        """Return a question of this watch as the model is asked it, with context and language."""
        before = "" if self.context is None else f"{self.context.strip().rstrip('.')}. "
        after = ""
        if self.language is not None and self.kind == "describe":
            after = f" Answer in {self.language}."
        elif self.language is not None and (text in self.conditions or self.options is None):
            after = " Answer with one number." if self.kind == "count" else " Answer with yes or no."
        return f"{before}{text}{after}"

    @property
    def label(self) -> str:
        """The watch's name."""
        return self.name or self.question


def _check_one_of(name: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}; got {value!r}")


def _check_seconds(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number of seconds, got {value!r}")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a number of seconds, 0 or more; got {value}")
