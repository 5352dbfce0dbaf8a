"""Threads that decode what clients send: few, with a short queue, so that they hold nobody else up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar, final

from hermes_stream.server.errors import RefusedError

T = TypeVar("T")

_NUM_THREADS = 2
_MAX_WAITING = 16


@final
class Stop:
    """Tells work that nobody waits for it any more. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Callable[[], None]] = []
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Whether the work is to stop."""
        return self._is_set

    def set(self) -> None:
        """Have the work stop; safe to repeat."""
        with self._lock:
            self._is_set = True
            for call in self._calls:
                call()

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Within the block, end by a call what waits for others; at once where the work is to stop already.

        Args:
            call: returns at once, and may be repeated.
        """
        with self._lock:
            self._calls.append(call)
            if self._is_set:
                call()
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)


class MediaWork:
    """Does long work for requests; belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="media")
        self._stops: set[Stop] = set()

    async def do(self, work: Callable[[Stop], T]) -> T:
        """Return what work gives; where nobody waits any more, it is told to stop.

        Args:
            work: is given what tells it to stop.

        Raises:
            RefusedError: too much waits already.
        """
        if len(self._stops) >= _NUM_THREADS + _MAX_WAITING:
            raise RefusedError(
                429,
                f"{len(self._stops)} files and pictures are being read, which is the most; try again",
                code="overloaded",
                retry_after_seconds=2,
            )
        stop = Stop()
        self._stops.add(stop)
        doing = asyncio.wrap_future(self._threads.submit(work, stop))
        doing.add_done_callback(lambda _: self._stops.discard(stop))
        doing.add_done_callback(_see)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            stop.set()
            raise

    def close(self) -> None:
        """Have all work stop, and end the threads when it has."""
        for stop in self._stops:
            stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _see(doing: asyncio.Future[T]) -> None:
    if not doing.cancelled():
        doing.exception()  # nobody may be there to see it
