"""Events of the record: read by stream, kind and time, or followed as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from threading import Event as Flag
from typing import Any

from sqlalchemy import Row, Select, select

from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.events import Event
from hermes_stream.service.store_writer import StoreWriter

_PAGE = 500
_MAX_LIMIT = 10_000
_LOOK_SECONDS = 0.5


class EventLog:
    """Reads events. Threads may share it; a slow reader holds nobody up.

    Args:
        database: holds them.
        writer: tells when new ones are committed.
    """

    def __init__(self, database: Database, writer: StoreWriter) -> None:
        self._database, self._writer = database, writer

    def read(
        self,
        after: int = 0,
        *,
        stream_id: int | None = None,
        kinds: Sequence[str] | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 1000,
        newest_first: bool = False,
    ) -> tuple[Event, ...]:
        """Return events behind an id.

        Args:
            after: id; 0 is before the first. With ``newest_first`` 0 is behind the last, and events before
                the id are returned.
            stream_id: of one stream alone.
            kinds: of these kinds alone.
            since: not before this wall-clock time, in seconds since 1970.
            until: before this wall-clock time.
            limit: how many at most, 1 to 10,000.
            newest_first: the newest first instead of the oldest.

        Raises:
            ValueError: the limit is out of its range.
            StoreError: the record cannot be read.
        """
        return read_events(
            self._database,
            after,
            stream_id=stream_id,
            kinds=kinds,
            since=since,
            until=until,
            limit=limit,
            newest_first=newest_first,
        )

    def follow(
        self,
        after: int | None = None,
        *,
        stream_id: int | None = None,
        kinds: Sequence[str] | None = None,
        stop: Flag | None = None,
        heartbeat_seconds: float | None = None,
    ) -> Iterator[Event | None]:
        """Yield events behind an id as they are committed: none is missed, none comes twice.

        Args:
            after: id; None begins now, when this is called.
            stream_id: of one stream alone.
            kinds: of these kinds alone.
            stop: ends the iteration, half a second after it is set at the latest.
            heartbeat_seconds: yield None where nothing came for so long; None never does.

        Raises:
            StoreError: the record cannot be read.
        """
        begin = self._writer.newest_event_id if after is None else after
        return self._follow(begin, _chosen(stream_id, kinds), stop, heartbeat_seconds)

    def _follow(
        self, newest: int, chosen: Select[Any], stop: Flag | None, heartbeat_seconds: float | None
    ) -> Iterator[Event | None]:
        told = time.monotonic()
        while not _is_set(stop):
            # read before the events: what is committed by then is seen
            committed = self._writer.newest_event_id
            found = self._page(chosen, newest)
            for event in found:
                yield event
                told = time.monotonic()
                if _is_set(stop):
                    return
            if len(found) == _PAGE:
                newest = found[-1].id
                continue
            newest = max(newest, committed, found[-1].id if found else 0)
            if not self._writer.wait_for_event(newest, _pause_seconds(stop, heartbeat_seconds)):
                if self._writer.is_closing:
                    return
                if heartbeat_seconds is not None and time.monotonic() - told >= heartbeat_seconds:
                    yield None
                    told = time.monotonic()

    def _page(self, chosen: Select[Any], after: int) -> list[Event]:
        columns = tables.events.c
        with self._database.reading() as connection:
            page = chosen.where(columns.id > after).order_by(columns.id).limit(_PAGE)
            return [event_of_row(row) for row in connection.execute(page)]


def read_events(
    database: Database,
    after: int = 0,
    *,
    stream_id: int | None = None,
    kinds: Sequence[str] | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int = 1000,
    newest_first: bool = False,
) -> tuple[Event, ...]:
    """Return events behind an id, from a record that nobody need write; see ``EventLog.read``."""
    if not 1 <= limit <= _MAX_LIMIT:
        raise ValueError(f"limit must be from 1 to {_MAX_LIMIT}, got {limit}")
    columns = tables.events.c
    chosen = _chosen(stream_id, kinds)
    if since is not None:
        chosen = chosen.where(columns.wall_seconds >= since)
    if until is not None:
        chosen = chosen.where(columns.wall_seconds < until)
    if newest_first:
        if after:
            chosen = chosen.where(columns.id < after)
        chosen = chosen.order_by(columns.id.desc())
    else:
        chosen = chosen.where(columns.id > after).order_by(columns.id)
    with database.reading() as connection:
        return tuple(event_of_row(row) for row in connection.execute(chosen.limit(limit)))


def _is_set(stop: Flag | None) -> bool:
    return stop is not None and stop.is_set()


def _pause_seconds(stop: Flag | None, heartbeat_seconds: float | None) -> float | None:
    pauses = [heartbeat_seconds, None if stop is None else _LOOK_SECONDS]
    return min((pause for pause in pauses if pause is not None), default=None)


def _chosen(stream_id: int | None, kinds: Sequence[str] | None) -> Select[Any]:
    joined = tables.events.outerjoin(tables.streams)
    chosen = select(tables.events, tables.streams.c.name).select_from(joined)
    if stream_id is not None:
        chosen = chosen.where(tables.events.c.stream_id == stream_id)
    if kinds is not None:
        chosen = chosen.where(tables.events.c.kind.in_(kinds))
    return chosen


def event_of_row(row: Row[Any]) -> Event:
    """Return the event of a row with the name of its stream."""
    return Event(
        id=row.id,
        kind=row.kind,
        stream=row.name,
        epoch=row.epoch,
        pts_seconds=row.pts_seconds,
        wall_seconds=row.wall_seconds,
        payload=row.payload,
        picture=row.picture,
    )
