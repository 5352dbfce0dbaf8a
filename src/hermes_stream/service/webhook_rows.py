"""Rows of webhooks: who is told what, and how far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from hermes_stream.errors import UnknownWebhookError
from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.store_writer import StoreWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """A webhook as it is recorded.

    Attributes:
        id: its number.
        url: of the receiver.
        secret: signs its messages, ``whsec_...``; never part of a text.
        kinds: kinds of events that are sent; None sends those of watches.
        streams: names of the streams whose events are sent; None sends all.
        is_on: whether it is sent to.
        allow: patterns that the address must match; None where it was trusted.
        private_networks: networks that it may lie in, though private.
        sent_event_id: the newest event that it was sent, or that it was not to get.
        created_wall_seconds: when it was made.
    """

    id: int
    url: str
    secret: str = field(repr=False)
    kinds: tuple[str, ...] | None
    streams: tuple[str, ...] | None
    is_on: bool
    allow: tuple[str, ...] | None
    private_networks: tuple[str, ...]
    sent_event_id: int
    created_wall_seconds: float


class WebhookRows:
    """Reads and writes rows of webhooks.

    Args:
        database: holds them.
        writer: writes.
    """

    def __init__(self, database: Database, writer: StoreWriter) -> None:
        self._database, self._writer = database, writer

    def all(self) -> tuple[WebhookRow, ...]:
        """Return all webhooks, oldest first."""
        with self._database.reading() as connection:
            chosen = select(tables.webhooks).order_by(tables.webhooks.c.id)
            return tuple(_row(row) for row in connection.execute(chosen))

    def find(self, number: int) -> WebhookRow:
        """Return one webhook.

        Raises:
            UnknownWebhookError: there is none of that number.
        """
        with self._database.reading() as connection:
            chosen = select(tables.webhooks).where(tables.webhooks.c.id == number)
            row = connection.execute(chosen).first()
        if row is None:
            raise UnknownWebhookError(f"there is no webhook {number}; GET /v1/webhooks lists them")
        return _row(row)

    def add(self, **fields: Any) -> WebhookRow:
        """Add a webhook, and return it; it is sent what happens from now on.

        Raises:
            StoreError: it could not be written.
        """
        values = {"is_on": True, "created_wall_seconds": time.time(), **fields}
        values.setdefault("sent_event_id", self._writer.newest_event_id)

        def change(connection: Connection) -> int:
            key = connection.execute(insert(tables.webhooks).values(**values)).inserted_primary_key
            assert key is not None
            return int(key[0])

        return self.find(self._writer.write(change))

    def change(self, number: int, **fields: Any) -> None:
        """Change columns of a webhook.

        Raises:
            StoreError: they could not be written.
        """
        statement = update(tables.webhooks).where(tables.webhooks.c.id == number).values(**fields)
        self._writer.write(lambda connection: connection.execute(statement).close())

    def advance(self, number: int, event_id: int, **fields: Any) -> None:
        """Note that the events up to one were sent, and change further columns with it.

        Where the webhook stands behind that event already, nothing changes: it was changed while the message
        was on its way, and who sent it is not its sender any more.

        Raises:
            StoreError: it could not be written.
        """
        of_it = (tables.webhooks.c.id == number, tables.webhooks.c.sent_event_id < event_id)
        statement = update(tables.webhooks).where(*of_it).values(sent_event_id=event_id, **fields)
        self._writer.write(lambda connection: connection.execute(statement).close())

    def remove(self, number: int) -> None:
        """Delete a webhook.

        Raises:
            UnknownWebhookError: there is none of that number.
            StoreError: it could not be deleted.
        """
        self.find(number)
        statement = delete(tables.webhooks).where(tables.webhooks.c.id == number)
        self._writer.write(lambda connection: connection.execute(statement).close())


def _row(row: Row[Any]) -> WebhookRow:
    fields = dict(row._mapping)
    for name in ("kinds", "streams", "allow"):
        fields[name] = None if fields[name] is None else tuple(fields[name])
    fields["private_networks"] = tuple(fields["private_networks"])
    return WebhookRow(**fields)
