"""The way to a Postgres server: one that says nothing is found out, and not waited for without end.

A statement may take as long as it does while its server answers others: to delete a year of rows, or to wait
for another replica, is no fault. So time alone ends none. Where nothing came for a while the server is called
over a second connection, and where it does not answer that, the first one is given up. From then on nobody
waits: a thread calls the server until it answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any, final

from psycopg import Connection, Error, OperationalError
from psycopg.errors import ConnectionTimeout
from sqlalchemy import Engine, QueuePool, event
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.queue import Empty

_SILENT_SECONDS = 3.0
_REST_SECONDS = 1.0
_WAIT_SECONDS = 10.0
# Of a role or a database, of all, of all but administrators'. It is known by its words alone: a code comes
# with statements, not with connections.
_FULL = ("too many connections for", "too many clients already", "connection slots are reserved")
_DEFAULTS = {
    "connect_timeout": "5",
    # a machine that is gone: of a connection, too, over which nobody says anything
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "10000",
}


class SilentError(OperationalError):
    """The server does not answer."""


@final
class WaitingPool(QueuePool):
    """Waits where the server allows no more connections: for one of its own, or one that others leave."""

    def _do_get(self) -> ConnectionPoolEntry:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                return super()._do_get()
            except OperationalError as error:
                is_full = any(words in str(error) for words in _FULL)
                if not is_full or time.monotonic() > deadline:
                    raise
            try:
                return self._pool.get(True, _REST_SECONDS)
            except Empty:
                continue


def give_up_silent(engine: Engine) -> None:
    """Have an engine's connections give up a server that does not answer.

    Args:
        engine: of a Postgres database; limits that its address names go before those of here.
    """
    line = _Line()

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, chosen: dict[str, Any]) -> Any:
        return line.connect(_DEFAULTS | chosen)

    @event.listens_for(engine, "engine_disposed")
    def dispose(_engine: Engine) -> None:
        line.is_over.set()


@final
class _Line:
    """Opens connections to one server; while it does not answer, none is tried but by one thread."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self._lock = threading.Lock()
        self._is_silent = False

    def connect(self, chosen: dict[str, Any]) -> Connection[Any]:
        # else each of a thousand changes that wait would call it anew, and so would each step of an end
        if self._is_silent:
            raise _silent()
        try:
            made = _Attentive.connect(**chosen)
        except ConnectionTimeout:
            self._begin_silence(chosen)
            raise _silent() from None
        made.call = lambda: self.connect(chosen).close()
        return made

    def _begin_silence(self, chosen: dict[str, Any]) -> None:
        with self._lock:
            if self._is_silent:
                return
            self._is_silent = True
        threading.Thread(target=self._call, args=(chosen,), name="hermes-database", daemon=True).start()

    def _call(self, chosen: dict[str, Any]) -> None:
        """Call the server until it answers, be it with a refusal."""
        while not self.is_over.wait(_REST_SECONDS):
            try:
                Connection.connect(**chosen).close()
                break
            except ConnectionTimeout:
                continue
            except Error:
                break
        self._is_silent = False


class _Attentive(Connection[Any]):
    """A connection that calls its server where it has waited for it."""

    call: Callable[[], None] | None = None

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        """Wait for what the server says."""
        return super().wait(self._attended(gen), *arguments, **options)

    def _attended(self, waiting: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        heard = time.monotonic()
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > _SILENT_SECONDS:
                    self._check()
                    heard = time.monotonic()
                wanted = waiting.send(ready)
        except StopIteration as end:
            return end.value

    def _check(self) -> None:
        """Call the server; close this connection where it does not answer."""
        try:
            if self.call is not None:
                self.call()
        except SilentError:
            self.close()
            raise
        except Error:
            pass  # it refuses another connection, and so it answers


def _silent() -> SilentError:
    return SilentError(
        "the database server does not answer; see whether it runs and can be reached. One that takes longer "
        "to begin needs ?connect_timeout=SECONDS in its address"
    )
