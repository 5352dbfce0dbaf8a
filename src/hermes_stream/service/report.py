"""What happened on a stream from when to when, told from the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hermes_stream.digest.chapters import MAX_CHAPTERS, Beginning, choose_beginnings
from hermes_stream.digest.values import (
    Chapter,
    Digest,
    DigestAnswer,
    DigestEvent,
    DigestIncident,
    Picture,
)
from hermes_stream.digest.watching import summary_of_chapters
from hermes_stream.service.database import Database
from hermes_stream.service.event_log import read_events
from hermes_stream.service.events import Event
from hermes_stream.service.incidents import Incident, incidents_during
from hermes_stream.service.record_tags import states_before, tags_of_record
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.service.stream_rows import StreamRow

MAX_EVENTS = 5000
MAX_INCIDENTS = 1000
MIN_CHAPTER_SECONDS = 10.0
# How new a stream is where such an event comes; a description says it itself.
_NEWNESS = {"alert_raised": 0.9, "state_changed": 0.8, "count_rose": 0.7, "stream_restored": 0.6, "gap": 0.5}
_SEVERITIES = ("info", "warning", "alarm")


def digest_of_record(
    database: Database,
    row: StreamRow,
    *,
    since: float | None = None,
    until: float | None = None,
    min_chapter_seconds: float = MIN_CHAPTER_SECONDS,
    max_chapters: int = MAX_CHAPTERS,
) -> Digest:
    """Sum up what the record has of a stream.

    Args:
        database: of the record.
        row: of the stream.
        since: not before this wall-clock time, seconds since 1970.
        until: before this wall-clock time.
        min_chapter_seconds: of a chapter, at least.
        max_chapters: at most, 1 or more.

    Raises:
        StoreError: the record cannot be read.
    """
    found = read_events(
        database, stream_id=row.id, since=since, until=until, limit=MAX_EVENTS + 1, newest_first=True
    )
    events = tuple(reversed(found[:MAX_EVENTS]))
    going_on = incidents_during(database, row.id, since=since, until=until, limit=MAX_INCIDENTS + 1)
    incidents = tuple(map(_incident, going_on[-MAX_INCIDENTS:]))
    told_since = events[0].wall_seconds if len(found) > MAX_EVENTS else since
    earlier = () if told_since is None else states_before(database, row.id, told_since)
    moments = [one.pts_seconds for one in events if one.pts_seconds is not None]
    if not moments:  # nothing was told then; what goes on began before
        moments = [*(one.started_seconds for one in incidents), *(one.pts_seconds or 0.0 for one in earlier)]
    begin, end = min(moments, default=0.0), max(moments, default=0.0)
    tags = tags_of_record(incidents, (*earlier, *events), from_seconds=begin, to_seconds=end)
    chapters = _chapters(events, (begin, end), min_chapter_seconds, max_chapters)
    return Digest(
        source=row.name,
        is_file=False,
        model=None,
        policy=StreamChoices.read(row.options).policy,
        from_seconds=begin,
        to_seconds=end,
        zero_wall_seconds=row.zero_wall_seconds,
        chapters=chapters,
        tags=tags,
        summary=summary_of_chapters(chapters),
        events=tuple(_event(one) for one in events if one.kind != "answered"),
        incidents=incidents,
        answers=tuple(_answer(one) for one in events if one.kind == "answered"),
        counts=dict(Counter(one.kind for one in events)),
        is_cut=len(found) > MAX_EVENTS or len(going_on) > MAX_INCIDENTS,
    )


def _chapters(
    events: Sequence[Event], span: tuple[float, float], min_chapter_seconds: float, max_chapters: int
) -> tuple[Chapter, ...]:
    """Cut where something new was told; without any such event there is one chapter."""
    begin, end = span
    told = [one for one in events if one.pts_seconds is not None and _newness(one) is not None]
    by_seconds: dict[float, Event] = {}
    for one in told:
        before = by_seconds.get(one.pts_seconds or 0.0)
        if before is None or (_newness(one) or 0) > (_newness(before) or 0):
            by_seconds[one.pts_seconds or 0.0] = one
    candidates = [Beginning(seconds=at, newness=_newness(one) or 0.0) for at, one in by_seconds.items()]
    chosen = choose_beginnings(
        candidates,
        from_seconds=begin,
        to_seconds=end,
        min_chapter_seconds=min_chapter_seconds,
        max_chapters=max_chapters,
    )
    if end <= begin and not told:
        return ()
    starts = [begin, *(one.seconds for one in chosen)]
    chapters = []
    for start, stop in zip(starts, [*starts[1:], end], strict=True):
        is_last = stop == end
        own = [
            one
            for one in told
            if start <= (one.pts_seconds or 0.0) < stop or (is_last and one.pts_seconds == end)
        ]
        chapters.append(_chapter(start, stop, own))
    return tuple(chapters)


def _chapter(start: float, stop: float, events: Sequence[Event]) -> Chapter:
    described = [one for one in events if one.kind == "described"]
    teller = next(iter([*described, *events]), None)
    shown = next((one for one in events if one.picture), None)
    return Chapter(
        start_seconds=start,
        end_seconds=stop,
        newness=None if teller is None else _newness(teller),
        text=None if teller is None else event_text(teller),
        text_seconds=None if teller is None else teller.pts_seconds,
        picture=None if shown is None else _picture(shown),
    )


def _newness(event: Event) -> float | None:
    """Return how new the stream was at an event; None where it begins no chapter."""
    if event.kind == "described":
        return _number(event.payload.get("score")) or 0.0
    return _NEWNESS.get(event.kind)


def event_text(event: Event) -> str:
    """Return what an event has to say, in a line."""
    payload = event.payload
    name, value = _text(payload.get("name") or payload.get("question")), _text(payload.get("value"))
    match event.kind:
        case "described":
            return value or name
        case "alert_raised" | "alert_cleared":
            return name
        case "state_changed" | "count_rose":
            before = _text(payload.get("value_before"))
            return f"{name}: {before} to {value}" if before else f"{name}: {value}"
        case "gap":
            return f"no picture for {_number(payload.get('seconds')) or 0.0:.1f} s"
        case "answered":
            return f"{_text(payload.get('question'))} {_text(payload.get('answer'))}".strip()
    return ", ".join(
        f"{key} {one}" for key, one in payload.items() if isinstance(one, str | int | float) and one != ""
    )


def _incident(one: Incident) -> DigestIncident:
    shown = tuple(Picture(stream_seconds=own.stream_seconds, path=own.picture) for own in one.pictures)
    began = (own for own in shown if own.stream_seconds >= one.started_seconds)
    return DigestIncident(
        watch=one.name,
        question=one.question,
        severity=one.severity if one.severity in _SEVERITIES else "info",
        started_seconds=one.started_seconds,
        ended_seconds=one.ended_seconds,
        score=one.score,
        picture=next(began, shown[-1] if shown else None),
        summary=one.summary,
        pictures=shown,
    )


def _answer(event: Event) -> DigestAnswer:
    payload = event.payload
    return DigestAnswer(
        question=_text(payload.get("question")),
        answer=_text(payload.get("answer")),
        stream_seconds=event.pts_seconds,
        confidence=_number(payload.get("confidence")),
        picture=_picture(event),
    )


def _event(event: Event) -> DigestEvent:
    return DigestEvent(
        kind=event.kind,
        stream_seconds=event.pts_seconds,
        wall_seconds=event.wall_seconds,
        text=event_text(event),
        score=_number(event.payload.get("score")),
        id=event.id,
        picture=_picture(event),
    )


def _picture(event: Event) -> Picture | None:
    if event.picture is None:
        return None
    return Picture(stream_seconds=event.pts_seconds or 0.0, path=event.picture)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
