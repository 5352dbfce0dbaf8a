"""Rows of streams: under which name, from which source, with which options, and how often opened."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, delete, insert, select, update

from hermes_stream.errors import StoreError
from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.store_writer import StoreWriter

log = logging.getLogger(__name__)
RowState = Literal["open", "closed", "deleting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRow:
    """A stream as it is recorded.

    Attributes:
        id: its number, which stays when it is renamed.
        name: of the stream.
        folder: name of its folder, in each of the folders of pictures, snapshots and journals.
        state: "open" streams come back at the next start.
        source: address of its source without user name and password; None for pushed frames.
        opens_again: whether that is the whole address, so that it can be opened after a restart.
        has_ended: whether its source is over, and is not opened again by itself.
        options: what it was opened with, as JSON values; see ``StreamOptions``.
        owner: number of the key that opened it; None where nobody did with a key.
        epoch: how often its memory has begun to go on from something else: opened, restarted, restored.
        zero_wall_seconds: wall-clock time of its zero.
        created_wall_seconds: when it was opened first.
        replica_id: number of the replica that has it, where several services share the record.
        wanted_replica: name of the one that is to have it.
    """

    id: int
    name: str
    folder: str
    state: RowState
    source: str | None
    opens_again: bool
    has_ended: bool
    options: Mapping[str, Any]
    owner: int | None
    epoch: int
    zero_wall_seconds: float | None
    created_wall_seconds: float
    replica_id: int | None = None
    wanted_replica: str | None = None

    @classmethod
    def temporary(cls, name: str, number: int, owner: int | None) -> StreamRow:
        """Return a stream that is in no record; its number is below 0."""
        return cls(
            id=-number,
            name=name,
            folder="",
            state="open",
            source=None,
            opens_again=False,
            has_ended=False,
            options={},
            owner=owner,
            epoch=1,
            zero_wall_seconds=None,
            created_wall_seconds=time.time(),
        )

    @property
    def is_temporary(self) -> bool:
        """Whether it is in no record."""
        return self.id < 0


class StreamRows:
    """Reads and writes rows of streams.

    Args:
        database: holds them.
        writer: writes.
    """

    def __init__(self, database: Database, writer: StoreWriter) -> None:
        self._database, self._writer = database, writer

    def all(self) -> tuple[StreamRow, ...]:
        """Return all streams in the order in which they were made."""
        return read_stream_rows(self._database)

    def find(self, name: str) -> StreamRow | None:
        """Return the stream of a name, if there is one."""
        with self._database.reading() as connection:
            found = connection.execute(select(tables.streams).where(tables.streams.c.name == name)).first()
        return None if found is None else _row(found)

    def add(
        self, name: str, *, options: Mapping[str, Any], owner: int | None, wall_seconds: float
    ) -> StreamRow:
        """Add a stream, and return it.

        Raises:
            StoreError: it could not be written.
        """

        def change(connection: Any) -> StreamRow:
            columns = tables.streams.c
            fields: dict[str, Any] = {
                "name": name,
                "folder": "",
                "state": "open",
                "opens_again": False,
                "has_ended": False,
                "options": dict(options),
                "owner": owner,
                "epoch": 1,
                "created_wall_seconds": wall_seconds,
                "replica_id": self._database.replica_id,
            }
            number = connection.execute(insert(tables.streams).values(**fields)).inserted_primary_key[0]
            # the number keeps folders of streams apart that have the same name one after the other
            connection.execute(
                update(tables.streams).where(columns.id == number).values(folder=f"{number:04}-{name}")
            )
            return _row(connection.execute(select(tables.streams).where(columns.id == number)).one())

        return self._writer.write(change)

    def change(self, stream_id: int, **fields: Any) -> None:
        """Change columns of a stream.

        Raises:
            StoreError: they could not be written.
        """
        statement = update(tables.streams).where(tables.streams.c.id == stream_id).values(**fields)
        self._writer.write(lambda connection: connection.execute(statement).close())

    def change_soon(self, stream_id: int, fields: Mapping[str, Any]) -> None:
        """Change columns of a stream without waiting; what cannot be written is logged."""
        statement = update(tables.streams).where(tables.streams.c.id == stream_id).values(**fields)
        try:
            outcome = self._writer.submit(lambda connection: connection.execute(statement).close())
        except StoreError as error:
            log.error("a change of a stream is not recorded: %s", error)
            return
        outcome.add_done_callback(_log_failure)

    def remove(self, stream_id: int) -> None:
        """Delete a stream with its events, questions and snapshots.

        Raises:
            StoreError: it could not be written.
        """
        statement = delete(tables.streams).where(tables.streams.c.id == stream_id)
        self._writer.write(lambda connection: connection.execute(statement).close())


def read_stream_rows(database: Database) -> tuple[StreamRow, ...]:
    """Return all streams of a record that nobody need write, in the order in which they were made."""
    with database.reading() as connection:
        chosen = select(tables.streams).order_by(tables.streams.c.id)
        return tuple(_row(row) for row in connection.execute(chosen))


def _log_failure(outcome: Future[Any]) -> None:
    if (error := outcome.exception()) is not None:
        log.error("a change of a stream is not recorded: %s", error)


def _row(row: Row[Any]) -> StreamRow:
    return StreamRow(**row._mapping)
