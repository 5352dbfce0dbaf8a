"""Streams of Realtime sessions, kept for a while after their client has gone, so that it can come back."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter

from hermes_stream.errors import HermesError, UnknownStreamError
from hermes_stream.service import Service

logger = logging.getLogger(__name__)

PREFIX = "realtime-"
# a stream of somebody's own may be called realtime-something, and is not to be deleted
_NAME = re.compile(rf"{PREFIX}[0-9a-f]{{20}}")
LEASE_SECONDS = 120.0


def is_leased(name: str) -> bool:
    """Tell whether a stream was opened by a session, and lasts as long as one."""
    return _NAME.fullmatch(name) is not None


class Leases:
    """Deletes what nobody comes back to; belongs to the event loop's thread.

    Args:
        service: has the streams.
        seconds: how long a stream is kept.
    """

    def __init__(self, service: Service, *, seconds: float = LEASE_SECONDS) -> None:
        self._service, self._seconds = service, seconds
        # a client that comes back is there before its old connection is known to be dead
        self._num_holders: Counter[str] = Counter()
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def start(self, names: list[str]) -> None:
        """Take over the streams that nobody here has: of a server before this one, or of another replica."""
        for name in names:
            if name not in self._ends and name not in self._num_holders:
                self._expire_later(name)

    def take(self, name: str) -> None:
        """Keep a stream, since a client of it is there."""
        self._num_holders[name] += 1
        self._keep(name)

    def give_back(self, name: str) -> None:
        """Delete a stream after a while, where this was the last client of it."""
        self._num_holders[name] -= 1
        if self._num_holders[name] <= 0:
            del self._num_holders[name]
            self._expire_later(name)

    def _keep(self, name: str) -> None:
        if (end := self._ends.pop(name, None)) is not None:
            end.cancel()

    def _expire_later(self, name: str) -> None:
        self._keep(name)
        self._ends[name] = asyncio.get_running_loop().call_later(self._seconds, self._end, name)

    def _end(self, name: str) -> None:
        self._ends.pop(name, None)
        closing = asyncio.ensure_future(asyncio.to_thread(self._delete, name))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _delete(self, name: str) -> None:
        try:
            self._service.close_stream(name, delete=True)
        except UnknownStreamError:
            pass  # somebody has deleted it
        except HermesError as error:
            logger.warning("the stream of a session that is over stays: %s", error)

    def close(self) -> None:
        """Leave the streams to the next server."""
        for end in self._ends.values():
            end.cancel()
