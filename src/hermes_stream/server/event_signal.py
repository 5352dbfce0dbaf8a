"""Wakes everyone who reads events: one thread follows the record, however many clients there are.

A reader asks the record for what comes after the event it had last; the signal only says when to ask again.
So nothing is missed, nothing comes twice, and nobody's slowness fills a queue.
"""

from __future__ import annotations

import asyncio
import logging
import threading

from hermes_stream.errors import HermesError
from hermes_stream.service import Service

logger = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 0.5
_AFTER_FAILURE_SECONDS = 1.0


class EventSignal:
    """Tells tasks of one event loop that there are new events.

    Args:
        service: whose events.

    Attributes:
        newest_id: of the newest event that it heard of; the record, asked afterwards, has all up to it.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._changed = asyncio.Event()
        self._thread: threading.Thread | None = None
        self.newest_id = 0

    def start(self) -> None:
        """Follow the record, in a thread; call from the event loop."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._follow, args=(loop,), name="event-signal", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    @property
    def next(self) -> asyncio.Event:
        """Is set at the next event; take it before asking the record, so that none falls between."""
        return self._changed

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stop.is_set():
            try:
                for event in self._service.follow(stop=self._stop, heartbeat_seconds=_HEARTBEAT_SECONDS):
                    if event is not None:
                        self.newest_id = event.id
                        loop.call_soon_threadsafe(self._wake)
            except HermesError as error:
                if self._stop.wait(_AFTER_FAILURE_SECONDS):
                    return
                logger.warning("events cannot be followed (%s); tried again", error)
                loop.call_soon_threadsafe(self._wake)  # readers see for themselves
            except RuntimeError:  # the loop is closed
                return
            else:
                self._stop.wait(_HEARTBEAT_SECONDS)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
