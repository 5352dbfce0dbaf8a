"""Incidents: opened by an alert, updated with pictures and words, ended; one id throughout."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, and_, delete, insert, or_, select, update

from hermes_stream.errors import UnknownIncidentError
from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.store_writer import StoreWriter

Severity = Literal["info", "warning", "alarm"]
IncidentStatus = Literal["open", "ended"]
_MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPicture:
    """A picture of an incident.

    Attributes:
        stream_seconds: when, in seconds of the stream.
        picture: its path within the folder of pictures.
    """

    stream_seconds: float
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing worth telling.

    Attributes:
        number: grows with every incident.
        id: what it is called everywhere; ``WATCH-COUNT``.
        stream: name of the stream, as it is now.
        watch: number of the watch, which may be gone.
        name: of the watch then.
        question: that was answered by yes.
        severity: of the watch then.
        status: "open" until the alert is cleared.
        started_seconds: since when yes was likely, in seconds of the stream.
        ended_seconds: when it was over; None while it is open.
        started_wall_seconds: when it was raised, seconds since 1970.
        ended_wall_seconds: when it was over.
        score: how likely yes was when it was raised.
        summary: what is seen, in words; None where nobody asked.
        pictures: from before the start until after it, oldest first.
        evidence: moments on which the answer rested, in seconds of the stream.
        num_updates: how often it was updated.
        is_reviewed: whether who asks has reviewed it.
    """

    number: int
    id: str
    stream: str
    watch: int
    name: str
    question: str
    severity: Severity
    status: IncidentStatus
    started_seconds: float
    ended_seconds: float | None
    started_wall_seconds: float
    ended_wall_seconds: float | None
    score: float
    summary: str | None
    pictures: tuple[IncidentPicture, ...]
    evidence: tuple[float, ...]
    num_updates: int
    is_reviewed: bool


class IncidentLog:
    """Reads and changes incidents. Threads may share it.

    Args:
        database: holds them.
        writer: writes.
    """

    def __init__(self, database: Database, writer: StoreWriter) -> None:
        self._database, self._writer = database, writer

    def read(
        self,
        *,
        stream_id: int | None = None,
        status: IncidentStatus | None = None,
        severities: Sequence[Severity] | None = None,
        since: float | None = None,
        until: float | None = None,
        is_reviewed: bool | None = None,
        key_id: int = 0,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[Incident, ...]:
        """Return incidents, the newest first.

        Args:
            stream_id: of one stream alone.
            status: of this status alone.
            severities: of these alone.
            since: raised not before this wall-clock time, in seconds since 1970.
            until: raised before this wall-clock time.
            is_reviewed: those alone that have been reviewed, or not, under the key.
            key_id: number of the key of who asks; 0 where there is none.
            before: id of an incident; older ones are returned.
            limit: how many at most, 1 to 1000.

        Raises:
            UnknownIncidentError: there is no incident ``before``.
            ValueError: the limit is out of its range.
        """
        if not 1 <= limit <= _MAX_LIMIT:
            raise ValueError(f"limit must be from 1 to {_MAX_LIMIT}, got {limit}")
        columns, chosen = tables.incidents.c, _chosen(key_id)
        for column, value in ((columns.stream_id, stream_id), (columns.status, status)):
            if value is not None:
                chosen = chosen.where(column == value)
        if severities is not None:
            chosen = chosen.where(columns.severity.in_(severities))
        if since is not None:
            chosen = chosen.where(columns.started_wall_seconds >= since)
        if until is not None:
            chosen = chosen.where(columns.started_wall_seconds < until)
        if is_reviewed is not None:
            mark = tables.reviews.c.key_id
            chosen = chosen.where(mark.is_not(None) if is_reviewed else mark.is_(None))
        if before is not None:
            chosen = chosen.where(columns.number < self.find(before).number)
        with self._database.reading() as connection:
            rows = connection.execute(chosen.order_by(columns.number.desc()).limit(limit))
            return tuple(map(_incident, rows))

    def find(self, incident_id: str, *, key_id: int = 0) -> Incident:
        """Return one incident.

        Raises:
            UnknownIncidentError: there is none.
        """
        with self._database.reading() as connection:
            chosen = _chosen(key_id).where(tables.incidents.c.id == incident_id)
            row = connection.execute(chosen).first()
        if row is None:
            raise UnknownIncidentError(
                f"there is no incident {incident_id!r}, or no more; GET /v1/incidents lists those that there "
                "are"
            )
        return _incident(row)

    def review(self, incident_id: str, is_reviewed: bool, *, key_id: int = 0) -> Incident:
        """Note that somebody has, or has not, reviewed an incident.

        Raises:
            UnknownIncidentError: there is none.
            StoreError: it could not be written.
        """
        number, columns = self.find(incident_id).number, tables.reviews.c

        def change(connection: Connection) -> None:
            own = and_(columns.incident == number, columns.key_id == key_id)
            connection.execute(delete(tables.reviews).where(own)).close()
            if is_reviewed:
                values = {"incident": number, "key_id": key_id, "reviewed_wall_seconds": time.time()}
                connection.execute(insert(tables.reviews).values(**values)).close()

        self._writer.write(change)
        return self.find(incident_id, key_id=key_id)

    def cited_pictures(self, stream_id: int) -> set[str]:
        """Return the pictures that incidents and events of a stream show."""
        incidents, events = tables.incidents.c, tables.events.c
        shown = select(incidents.pictures).where(incidents.stream_id == stream_id)
        told = select(events.picture).where(events.stream_id == stream_id, events.picture.is_not(None))
        with self._database.reading() as connection:
            lists = connection.execute(shown).scalars().all()
            single = set(connection.execute(told).scalars())
        return single | {one["picture"] for pictures in lists for one in pictures}


def incidents_during(
    database: Database, stream_id: int, *, since: float | None, until: float | None, limit: int
) -> tuple[Incident, ...]:
    """Return incidents of a stream that went on in a time, whenever they began; the newest, oldest first.

    Args:
        database: of the record.
        stream_id: number of the stream.
        since: not over before this wall-clock time, in seconds since 1970.
        until: raised before this wall-clock time.
        limit: how many at most.
    """
    columns = tables.incidents.c
    chosen = _chosen(0).where(columns.stream_id == stream_id)
    if since is not None:
        ended = columns.ended_wall_seconds
        chosen = chosen.where(or_(ended.is_(None), ended >= since))
    if until is not None:
        chosen = chosen.where(columns.started_wall_seconds < until)
    with database.reading() as connection:
        rows = connection.execute(chosen.order_by(columns.number.desc()).limit(limit))
        return tuple(reversed(tuple(map(_incident, rows))))


def begin(connection: Connection, incident_id: str, fields: Mapping[str, Any]) -> None:
    """Open an incident, within a commit that is under way."""
    values = {"id": incident_id, "status": "open", "num_updates": 0, "summary": None, **fields}
    connection.execute(insert(tables.incidents).values(**values)).close()


def change(connection: Connection, incident_id: str, fields: Mapping[str, Any]) -> None:
    """Change columns of an incident, within a commit that is under way."""
    statement = update(tables.incidents).where(tables.incidents.c.id == incident_id).values(**fields)
    connection.execute(statement).close()


def _chosen(key_id: int) -> Select[Any]:
    marks = and_(tables.reviews.c.incident == tables.incidents.c.number, tables.reviews.c.key_id == key_id)
    joined = tables.incidents.join(tables.streams).outerjoin(tables.reviews, marks)
    streams = tables.streams.c.name.label("stream")
    return select(tables.incidents, streams, tables.reviews.c.key_id).select_from(joined)


def _incident(row: Row[Any]) -> Incident:
    fields = dict(row._mapping)
    del fields["stream_id"], fields["epoch"]
    is_reviewed = fields.pop("key_id") is not None
    pictures = tuple(IncidentPicture(**one) for one in fields.pop("pictures"))
    evidence = tuple(fields.pop("evidence"))
    watch = fields.pop("watch_id")
    return Incident(**fields, watch=watch, pictures=pictures, evidence=evidence, is_reviewed=is_reviewed)
