"""Streams of Realtime sessions, kept for a while after their client has gone, so that it can come back."""

from __future__ import annotations

import asyncio
import logging

from hermes_stream.errors import HermesError
from hermes_stream.service import Service

logger = logging.getLogger(__name__)

PREFIX = "realtime-"
LEASE_SECONDS = 120.0


class Leases:
    """Deletes what nobody comes back to; belongs to the event loop's thread.

    Args:
        service: has the streams.
        seconds: how long a stream is kept.
    """

    def __init__(self, service: Service, *, seconds: float = LEASE_SECONDS) -> None:
        self._service, self._seconds = service, seconds
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def start(self, names: list[str]) -> None:
        """Take over the streams that were left by a server before this one."""
        for name in names:
            self.give_back(name)

    def take(self, name: str) -> None:
        """Keep a stream, since its client is there."""
        if (end := self._ends.pop(name, None)) is not None:
            end.cancel()

    def give_back(self, name: str) -> None:
        """Delete a stream after a while."""
        self.take(name)
        self._ends[name] = asyncio.get_running_loop().call_later(self._seconds, self._end, name)

    def _end(self, name: str) -> None:
        self._ends.pop(name, None)
        closing = asyncio.ensure_future(asyncio.to_thread(self._delete, name))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _delete(self, name: str) -> None:
        try:
            self._service.close_stream(name, delete=True)
        except HermesError as error:
            logger.warning("the stream of a session that is over stays: %s", error)

    def close(self) -> None:
        """Leave the streams to the next server."""
        for end in self._ends.values():
            end.cancel()
