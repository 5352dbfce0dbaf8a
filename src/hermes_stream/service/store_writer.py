"""The one thread that writes the record: what comes together is committed together, in order."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from threading import Condition, Thread
from typing import Any, TypeVar

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from hermes_stream.errors import NotOwnerError, StoreError
from hermes_stream.service import tables
from hermes_stream.service.database import REFUSED, Database
from hermes_stream.service.events import NewEvent
from hermes_stream.service.texts import searched_text

log = logging.getLogger(__name__)
Result = TypeVar("Result")
_BATCH = 500
_MAX_WAITING = 20_000
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_STOOD_STILL = "25P03"
"""What Postgres answers where it ended a transaction that stood still; nothing of it was written."""


@dataclass(slots=True)
class _Write:
    """A change of the record that somebody waits for."""

    change: Callable[[Connection], Any]
    outcome: Future[Any]
    waits: bool = False


_Unwritten = list["NewEvent | _Write"]


class StoreWriter:
    """Writes events and other rows, one batch after the other. Threads may share it.

    One writer numbers the events, so that their ids are in the order of their commits: who reads on from an
    id misses none. An event is kept until it is written; where that fails it is tried again.

    Args:
        database: is written to.
        max_waiting: changes that wait, at most; an event beyond is lost and counted.

    Attributes:
        num_lost_events: events that could not be recorded.
        num_refused_events: events of streams that another replica has taken meanwhile.
        failure: why the newest try failed; None where it did not.
    """

    def __init__(self, database: Database, *, max_waiting: int = _MAX_WAITING) -> None:
        self._database, self._max_waiting = database, max_waiting
        self._waiting: deque[NewEvent | _Write] = deque()
        self._changed = Condition()
        self._is_closing = self._is_hurried = False
        self._newest_event_id = self._read_newest()
        self.num_lost_events = self.num_refused_events = 0
        self.failure: str | None = None
        self._thread = Thread(target=self._run, name="hermes-record", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Changes that wait."""
        return len(self._waiting)

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is taken."""
        return self._is_closing

    @property
    def newest_event_id(self) -> int:
        """Id of the newest event that is committed; 0 before the first."""
        return self._newest_event_id

    def tell(self, event: NewEvent) -> None:
        """Record an event soon. Never waits and never raises for what is wrong with the record.

        Raises:
            ValueError: the payload cannot be written as JSON.
        """
        json.dumps(event.payload, allow_nan=False)
        with self._changed:
            if len(self._waiting) >= self._max_waiting or self._is_closing:
                self.num_lost_events += 1
                return
            self._waiting.append(event)
            self._changed.notify_all()

    def submit(self, change: Callable[[Connection], Result], *, waits: bool = False) -> Future[Result]:
        """Have a change made within the next commit; its result comes when that is on disk.

        Args:
            change: makes it.
            waits: make it later, as an event, where the record cannot be written now.

        Raises:
            StoreError: too many changes wait, or the record is closed.
        """
        outcome: Future[Result] = Future()
        with self._changed:
            if self._is_closing:
                raise StoreError("the record is closed; open the service again")
            if len(self._waiting) >= self._max_waiting:
                raise StoreError(f"{len(self._waiting)} changes wait to be recorded; {self.failure}")
            self._waiting.append(_Write(change, outcome, waits))
            self._is_hurried |= not waits
            self._changed.notify_all()
        return outcome

    def write(self, change: Callable[[Connection], Result]) -> Result:
        """Have a change made, and wait for the commit.

        Raises:
            StoreError: it could not be written.
        """
        return self.submit(change).result()

    def wait_for_event(self, after: int, timeout_seconds: float | None) -> bool:
        """Wait until an event behind an id is committed; False where none comes in time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._newest_event_id > after or self._is_closing, timeout=timeout_seconds
            )
            return self._newest_event_id > after

    def look(self) -> None:
        """See what others have written, where several services share the record.

        Raises:
            StoreError: it cannot be read.
        """
        newest = self._read_newest()
        with self._changed:
            if newest > self._newest_event_id:
                self._newest_event_id = newest
                self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, and stop; safe to repeat."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not batch:
                return
            unwritten = self._write_batch(batch)
            if not unwritten:
                pause_seconds = _FIRST_PAUSE_SECONDS
                continue
            with self._changed:
                if self._is_closing:  # one last try was made
                    self.num_lost_events += len(unwritten)
                    log.error("%d events are lost: %s", len(unwritten), self.failure)
                    for one in unwritten:
                        if isinstance(one, _Write):
                            one.outcome.set_exception(StoreError(str(self.failure)))
                    continue
                self._refuse_waiting()
                self._waiting.extendleft(reversed(unwritten))
                # whoever waits for a change is told after one more try, not after the pause
                self._changed.wait_for(lambda: self._is_closing or self._is_hurried, timeout=pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _refuse_waiting(self) -> None:
        """Tell those who wait for changes behind what cannot be written now; they would wait as long."""
        refused = [one for one in self._waiting if isinstance(one, _Write) and not one.waits]
        self._waiting = deque(one for one in self._waiting if isinstance(one, NewEvent) or one.waits)
        self._is_hurried = False
        for one in refused:
            one.outcome.set_exception(StoreError(str(self.failure)))

    def _write_batch(self, batch: Sequence[NewEvent | _Write], *, is_second: bool = False) -> _Unwritten:
        """Write all in one commit, or each in its own where that fails; return what is to be tried again."""
        try:
            results = self._commit(batch)
        except Exception as error:
            if len(batch) > 1:
                return [kept for one in batch for kept in self._write_batch([one])]
            if _sqlstate(error) == _STOOD_STILL and not is_second:
                return self._write_batch(batch, is_second=True)
            return self._refuse(batch[0], error)
        for one, result in zip(batch, results, strict=True):
            if isinstance(one, _Write):
                one.outcome.set_result(result)
        self.failure = None
        return []

    def _refuse(self, one: NewEvent | _Write, error: Exception) -> _Unwritten:
        """Tell whoever waits for a change that failed; return what may be written later."""
        is_refused = _sqlstate(error) == REFUSED
        is_cut_off = isinstance(error, DBAPIError) and error.connection_invalidated
        may_come_later = is_cut_off or isinstance(error, OperationalError | InterfaceError)
        if is_refused:
            failure: Exception = NotOwnerError(f"the stream is another replica's now: {_first_line(error)}")
        elif isinstance(error, SQLAlchemyError):
            failure = StoreError(f"the record {self._database.name} was not written: {_first_line(error)}")
        else:
            failure = error
        if isinstance(one, _Write):
            if one.waits and may_come_later and not is_refused:
                self.failure = str(failure)
                return [one]
            one.outcome.set_exception(failure)
            return []
        if is_refused:
            self.num_refused_events += 1
            log.info("an event of kind %r is refused: %s", one.kind, failure)
            return []
        if not may_come_later:
            # it is the event's own, and would fail for ever
            self.num_lost_events += 1
            log.error("an event of kind %r is lost: %s", one.kind, failure)
            return []
        if self.failure is None:
            log.warning("events wait to be recorded: %s", failure)
        self.failure = str(failure)
        return [one]

    def _commit(self, batch: Sequence[NewEvent | _Write]) -> list[Any]:
        """Write all in order; events that follow one another go in together."""
        newest = self._newest_event_id
        results: list[Any] = []
        with self._database.writing() as connection:
            for is_event, run in groupby(batch, key=lambda one: isinstance(one, NewEvent)):
                if is_event:
                    events = [one for one in run if isinstance(one, NewEvent)]
                    _insert_events(connection, events)
                    results += [None] * len(events)
                else:
                    results += [one.change(connection) for one in run if isinstance(one, _Write)]
            newest = connection.execute(select(func.max(tables.events.c.id))).scalar() or newest
        with self._changed:
            # an id that was given stays given, also where its event was deleted again
            self._newest_event_id = max(newest, self._newest_event_id)
            self._changed.notify_all()
        return results

    def _read_newest(self) -> int:
        with self._database.reading() as connection:
            return connection.execute(select(func.max(tables.events.c.id))).scalar() or 0


def _sqlstate(error: Exception) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _first_line(error: Exception) -> str:
    """Return what the database said, without the statement, which may hold what users wrote."""
    return str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]


def _insert_events(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Insert events in order; one of a stream that is gone meanwhile belongs to nobody, and is left out."""
    wanted = {event.stream_id for event in events if event.stream_id is not None}
    column = tables.streams.c.id
    known = set(connection.execute(select(column).where(column.in_(wanted))).scalars()) if wanted else set()
    kept = [event for event in events if event.stream_id is None or event.stream_id in known]
    if kept:
        connection.execute(insert(tables.events), list(map(_row, kept)))
    for event in kept:
        if event.along is not None:
            event.along(connection)


def _row(event: NewEvent) -> dict[str, Any]:
    return {
        "stream_id": event.stream_id,
        "epoch": event.epoch,
        "pts_seconds": event.pts_seconds,
        "wall_seconds": event.wall_seconds,
        "kind": event.kind,
        "payload": dict(event.payload),
        "picture": event.picture,
        "text": searched_text(event.payload),
    }
