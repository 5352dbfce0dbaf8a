"""Threads that decode what clients send: few, with a short queue, so that they hold nobody else up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hermes_stream.server.errors import RefusedError

T = TypeVar("T")

_NUM_THREADS = 2
_MAX_WAITING = 16


class MediaWork:
    """Does long work for requests; belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="media")
        self._num_open = 0

    async def do(self, work: Callable[[threading.Event], T]) -> T:
        """Return what work gives; where nobody waits any more, it is told to stop.

        Args:
            work: is given what is set when it is to stop.

        Raises:
            RefusedError: too much waits already.
        """
        if self._num_open >= _NUM_THREADS + _MAX_WAITING:
            raise RefusedError(
                429,
                f"{self._num_open} files and pictures are being read, which is the most; try again",
                code="overloaded",
                retry_after_seconds=2,
            )
        stop = threading.Event()
        self._num_open += 1
        doing = asyncio.wrap_future(self._threads.submit(work, stop))
        doing.add_done_callback(self._count_end)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            stop.set()
            raise

    def _count_end(self, doing: asyncio.Future[T]) -> None:
        self._num_open -= 1
        if not doing.cancelled():
            doing.exception()  # nobody may be there to see it

    def close(self) -> None:
        """End the threads when they are done."""
        self._threads.shutdown(wait=False, cancel_futures=True)
