"""The record of a service: streams, events, questions, snapshots, keys; in one database."""

from __future__ import annotations

from pathlib import Path

from hermes_stream.service.database import Database, database_url
from hermes_stream.service.event_log import EventLog
from hermes_stream.service.events import NewEvent
from hermes_stream.service.incidents import IncidentLog
from hermes_stream.service.keys import Keys
from hermes_stream.service.question_log import QuestionLog
from hermes_stream.service.snapshot_rows import SnapshotRows
from hermes_stream.service.store_writer import StoreWriter
from hermes_stream.service.stream_rows import StreamRows
from hermes_stream.service.watch_rows import WatchRows
from hermes_stream.service.webhook_rows import WebhookRows


class Store:
    """Opens a record for the one service that writes it. Threads may share it.

    Args:
        data_dir: folder of the service, which holds its lock.
        address: of a Postgres database; None keeps the record in the folder.
        shared: several services write it, each its own streams.

    Attributes:
        database: connections.
        writer: the thread that writes.
        events: what happened.
        questions: what was asked.
        streams: rows of streams.
        snapshots: rows of snapshots.
        keys: who may use the service.
        watches: rows of standing questions.
        incidents: what they raised.
        webhooks: who is told.

    Raises:
        StoreError: the record cannot be opened.
    """

    def __init__(self, data_dir: Path, address: str | None = None, *, shared: bool = False) -> None:
        self.database = Database(database_url(data_dir, address))
        try:
            self.database.own(shared=shared)
            self.writer = StoreWriter(self.database)
        except BaseException:
            self.database.close()
            raise
        self.events = EventLog(self.database, self.writer)
        self.questions = QuestionLog(self.database, self.writer)
        self.streams = StreamRows(self.database, self.writer)
        self.snapshots = SnapshotRows(self.database, self.writer)
        self.keys = Keys(self.database)
        self.watches = WatchRows(self.database, self.writer)
        self.incidents = IncidentLog(self.database, self.writer)
        self.webhooks = WebhookRows(self.database, self.writer)

    def tell(self, event: NewEvent) -> None:
        """Record an event soon; see ``StoreWriter.tell``."""
        self.writer.tell(event)

    def close(self) -> None:
        """Write what waits, and close; safe to repeat."""
        self.writer.close()
        self.database.close()
