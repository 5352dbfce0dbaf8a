"""Rows of watches: what a stream is asked again and again, and how far that is."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from hermes_stream.errors import StoreError
from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.store_writer import StoreWriter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRow:
    """A watch as it is recorded.

    Attributes:
        id: its number, never given again.
        stream_id: number of its stream.
        name: of the watch, one of its kind in the stream.
        settings: fields of ``WatchSettings``, as JSON values.
        state: what it needs to go on, as JSON values; None before its first look.
        created_wall_seconds: when it was made.
    """

    id: int
    stream_id: int
    name: str
    settings: Mapping[str, Any]
    state: Mapping[str, Any] | None
    created_wall_seconds: float


class WatchRows:
    """Reads and writes rows of watches.

    Args:
        database: holds them.
        writer: writes.
    """

    def __init__(self, database: Database, writer: StoreWriter) -> None:
        self._database, self._writer = database, writer

    def of_stream(self, stream_id: int) -> tuple[WatchRow, ...]:
        """Return the watches of a stream, oldest first."""
        columns = tables.watches.c
        chosen = select(tables.watches).where(columns.stream_id == stream_id).order_by(columns.id)
        with self._database.reading() as connection:
            return tuple(_row(row) for row in connection.execute(chosen))

    @property
    def count(self) -> int:
        """How many there are, of all streams."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(tables.watches)).scalar() or 0

    def add(self, stream_id: int, name: str, settings: Mapping[str, Any]) -> WatchRow:
        """Add a watch, and return it.

        Raises:
            StoreError: it could not be written.
        """
        values: dict[str, Any] = {
            "stream_id": stream_id,
            "name": name,
            "settings": dict(settings),
            "created_wall_seconds": time.time(),
        }

        def change(connection: Connection) -> int:
            key = connection.execute(insert(tables.watches).values(**values)).inserted_primary_key
            assert key is not None
            return int(key[0])

        return WatchRow(id=self._writer.write(change), state=None, **values)

    def change(self, watch_id: int, **fields: Any) -> None:
        """Change columns of a watch.

        Raises:
            StoreError: they could not be written.
        """
        self._writer.write(lambda connection: _change(connection, watch_id, fields))

    def save_states_soon(self, states: Mapping[int, Mapping[str, Any]], epoch: int | None = None) -> None:
        """Keep how far watches are, without waiting; what cannot be written is logged.

        Args:
            states: by the watches' numbers.
            epoch: of their stream; the record refuses them where it is over.
        """

        def change(connection: Connection) -> None:
            for watch_id, state in states.items():
                keep_state(connection, watch_id, state, epoch)

        if not states:
            return
        try:
            self._writer.submit(change).add_done_callback(_log_failure)
        except StoreError as error:
            log.error("the state of watches is not recorded: %s", error)

    def remove(self, watch_id: int) -> None:
        """Delete a watch; what it told stays.

        Raises:
            StoreError: it could not be written.
        """
        statement = delete(tables.watches).where(tables.watches.c.id == watch_id)
        self._writer.write(lambda connection: connection.execute(statement).close())


def keep_state(connection: Connection, watch_id: int, state: Mapping[str, Any], epoch: int | None) -> None:
    """Keep how far a watch is, within a commit that is under way."""
    _change(connection, watch_id, {"state": dict(state), "epoch": epoch})


def _change(connection: Connection, watch_id: int, fields: Mapping[str, Any]) -> None:
    statement = update(tables.watches).where(tables.watches.c.id == watch_id).values(**fields)
    connection.execute(statement).close()


def _log_failure(outcome: Future[Any]) -> None:
    if (error := outcome.exception()) is not None:
        log.error("the state of watches is not recorded: %s", error)


def _row(row: Row[Any]) -> WatchRow:
    fields = dict(row._mapping)
    del fields["epoch"]
    return WatchRow(**fields)
