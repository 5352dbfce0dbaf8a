"""A digest as plain values; knows nothing of how it was made, or of how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a moment, in hand or in a record.

    Attributes:
        stream_seconds: when, in seconds of the stream.
        jpeg: the file; None where the record has it.
        path: within the record's folder of pictures; None where it is in hand.
    """

    stream_seconds: float
    jpeg: bytes | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A stretch of a stream, from where it became new to the next such moment.

    Attributes:
        start_seconds: where it begins, in seconds of the stream.
        end_seconds: where it ends.
        newness: how new the stream was at its beginning, in [0, 1]; None where that was not measured.
        text: what is to be seen; None where nobody was asked.
        text_seconds: when that was asked.
        picture: of that moment.
    """

    start_seconds: float
    end_seconds: float
    newness: float | None = None
    text: str | None = None
    text_seconds: float | None = None
    picture: Picture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """Something that was looked for or seen, with its times.

    Attributes:
        text: the tag.
        spans: from when to when it was there, in seconds of the stream.
    """

    text: str
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestEvent:
    """Something that happened.

    Attributes:
        kind: what happened.
        stream_seconds: when, in seconds of the stream; None where it has no time there.
        wall_seconds: when, seconds since 1970; None for a file.
        text: what there is to say.
        score: how sure the watch was, in [0, 1].
        id: number of the event in a record.
        picture: of it.
    """

    kind: str
    stream_seconds: float | None
    wall_seconds: float | None = None
    text: str = ""
    score: float | None = None
    id: int | None = None
    picture: Picture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestIncident:
    """An alert from where it was raised to where it cleared.

    Attributes:
        watch: name of the watch.
        question: what it asks.
        severity: "info", "warning" or "alarm".
        started_seconds: in seconds of the stream.
        ended_seconds: None where it goes on.
        score: how sure the watch was when it raised.
        picture: of its beginning.
        summary: what was seen, in words; None where nobody asked.
        pictures: from before its beginning until after it, oldest first.
    """

    watch: str
    question: str
    severity: str
    started_seconds: float
    ended_seconds: float | None
    score: float | None
    picture: Picture | None = None
    summary: str | None = None
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestAnswer:
    """A question that somebody asked.

    Attributes:
        question: what was asked.
        answer: the text.
        stream_seconds: time of the newest frame that the answer knows.
        confidence: how sure the model was, in [0, 1].
        picture: of the moment on which the answer rests most.
    """

    question: str
    answer: str
    stream_seconds: float | None
    confidence: float | None = None
    picture: Picture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What happened, in short.

    Attributes:
        text: the summary.
        made_from: the "memory", at the end, or the texts of the "chapters".
    """

    text: str
    made_from: Literal["memory", "chapters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a stretch of a stream shows.

    Attributes:
        source: file or stream.
        is_file: whether it was watched for this; else it is told from a record.
        model: that watched.
        policy: of the memory.
        from_seconds: where the stretch begins, in seconds of the stream.
        to_seconds: where it ends.
        zero_wall_seconds: wall-clock time of the stream's zero, seconds since 1970; None for a file.
        chapters: in order.
        tags: with their times.
        summary: None where there is nothing to sum up.
        events: in order.
        incidents: that went on in the stretch, in order, wherever they began and ended.
        answers: in order.
        counts: how many events of each kind there were.
        newness: moments with how new the stream was, in [0, 1].
        is_cut: whether there was more than is told.
    """

    source: str
    is_file: bool
    model: str | None
    policy: str | None
    from_seconds: float
    to_seconds: float
    zero_wall_seconds: float | None = None
    chapters: tuple[Chapter, ...] = ()
    tags: tuple[Tag, ...] = ()
    summary: Summary | None = None
    events: tuple[DigestEvent, ...] = ()
    incidents: tuple[DigestIncident, ...] = ()
    answers: tuple[DigestAnswer, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    newness: tuple[tuple[float, float], ...] = ()
    is_cut: bool = False
