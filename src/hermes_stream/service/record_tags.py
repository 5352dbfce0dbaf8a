"""What a stream's watches told, as tags: what was there, from when to when."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from hermes_stream.digest.values import DigestIncident, Tag
from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.event_log import read_events
from hermes_stream.service.events import Event

_CHANGED = "state_changed"
_MAX_EARLIER = 1000
_Spans = dict[str, list[tuple[float, float]]]


def states_before(database: Database, stream_id: int, wall_seconds: float) -> tuple[Event, ...]:
    """Return the last change of each state of a stream before a wall-clock time, in seconds since 1970.

    Of watches that are gone by now there is none: nobody knows how long their last state went on.
    """
    earlier = read_events(
        database,
        stream_id=stream_id,
        kinds=[_CHANGED],
        until=wall_seconds,
        limit=_MAX_EARLIER,
        newest_first=True,
    )
    with database.reading() as connection:
        columns = tables.watches.c
        chosen = select(columns.id).where(columns.stream_id == stream_id)
        watches = set(connection.execute(chosen).scalars())
    last: dict[object, Event] = {}
    for one in earlier:
        if one.payload.get("watch") in watches:
            last.setdefault(one.payload["watch"], one)
    return tuple(sorted(last.values(), key=lambda one: one.id))


def tags_of_record(
    incidents: Iterable[DigestIncident],
    changes: Iterable[Event],
    *,
    from_seconds: float,
    to_seconds: float,
) -> tuple[Tag, ...]:
    """Return an alert's name from where it was raised to where it cleared, a state's value to the next one.

    Args:
        incidents: of the stretch.
        changes: of states, in order; other events are left out.
        from_seconds: where that begins of which the record does not say when it began, in seconds of the
            stream; the first answer of a state is what it begins with, and no change.
        to_seconds: where what goes on is cut off, in seconds of the stream.
    """
    spans: _Spans = {}
    for one in incidents:
        end = max(to_seconds, one.started_seconds) if one.ended_seconds is None else one.ended_seconds
        spans.setdefault(one.watch, []).append((one.started_seconds, end))
    now: dict[object, tuple[str, float]] = {}
    for event in changes:
        if event.kind != _CHANGED or event.pts_seconds is None:
            continue
        payload, watch = event.payload, event.payload.get("watch")
        since = payload.get("since_seconds", event.pts_seconds)
        if watch not in now and payload.get("value_before") and from_seconds < since:
            now[watch] = (f"{payload.get('name')}: {payload['value_before']}", from_seconds)
        _end_state(spans, now.get(watch), since)
        now[watch] = (f"{payload.get('name')}: {payload.get('value')}", since)
    for last in now.values():
        _end_state(spans, last, max(to_seconds, last[1]))
    return tuple(Tag(text=text, spans=tuple(sorted(own))) for text, own in spans.items())


def _end_state(spans: _Spans, state: tuple[str, float] | None, seconds: float) -> None:
    if state is not None:
        spans.setdefault(state[0], []).append((state[1], seconds))
