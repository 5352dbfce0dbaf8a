"""Rows of snapshots: which memories are on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.status import SnapshotStatus
from hermes_stream.service.store_writer import StoreWriter


class SnapshotRows:
    """Reads and writes rows of snapshots; the files are others' matter.

    Args:
        database: holds them.
        writer: writes.
    """

    def __init__(self, database: Database, writer: StoreWriter) -> None:
        self._database, self._writer = database, writer

    def add(self, stream_id: int, **fields: Any) -> SnapshotStatus:
        """Add a snapshot, or bring the row of its path up to date, and return it.

        Args:
            stream_id: number of the stream.
            **fields: columns of the table.

        Raises:
            StoreError: it could not be written.
        """

        def change(connection: Any) -> SnapshotStatus:
            table = tables.snapshots
            known = connection.execute(select(table).where(table.c.path == fields["path"])).first()
            if known is None:
                made = connection.execute(insert(table).values(stream_id=stream_id, **fields))
                number = made.inserted_primary_key[0]
            else:  # the same memory again: whoever knows its number goes on finding it
                number, kept = known.id, {"is_kept": known.is_kept or fields["is_kept"]}
                connection.execute(update(table).where(table.c.id == number).values(**fields | kept))
            return _snapshot(connection.execute(_all().where(table.c.id == number)).one())

        return self._writer.write(change)

    def read(self, stream_id: int | None = None) -> tuple[SnapshotStatus, ...]:
        """Return snapshots of one stream or of all, oldest first."""
        chosen = _all().order_by(tables.snapshots.c.id)
        if stream_id is not None:
            chosen = chosen.where(tables.snapshots.c.stream_id == stream_id)
        with self._database.reading() as connection:
            return tuple(_snapshot(row) for row in connection.execute(chosen))

    def remove(self, numbers: Sequence[int]) -> None:
        """Delete rows.

        Raises:
            StoreError: they could not be deleted.
        """
        statement = delete(tables.snapshots).where(tables.snapshots.c.id.in_(numbers))
        self._writer.write(lambda connection: connection.execute(statement).close())


def _all() -> Any:
    return select(tables.snapshots, tables.streams.c.name.label("stream")).join(tables.streams)


def _snapshot(row: Row[Any]) -> SnapshotStatus:
    fields = dict(row._mapping)
    del fields["stream_id"]
    return SnapshotStatus(**fields)
