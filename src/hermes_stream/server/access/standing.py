"""Requests and WebSockets that stay open end where their key is revoked meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hermes_stream.errors import HermesError
from hermes_stream.server.access.callers import Caller
from hermes_stream.server.errors import RefusedError
from hermes_stream.service.keys import Keys

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Standing:
    """Looks now and then whether the keys of open requests are good; belongs to the event loop's thread.

    Args:
        keys: of the service; another program may revoke one.
        look_seconds: how often.
    """

    def __init__(self, keys: Keys, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._keys, self._look_seconds = keys, look_seconds
        self._open: defaultdict[int, set[asyncio.Timeout]] = defaultdict(set)

    @asynccontextmanager
    async def of(self, caller: Caller) -> AsyncIterator[None]:
        """Let a request go on for as long as its key is good.

        Raises:
            RefusedError: it no longer is; what the request did was cancelled.
        """
        if caller.key is None:
            yield
            return
        number, limit = caller.key.id, asyncio.timeout(None)
        try:
            async with limit:
                self._open[number].add(limit)
                try:
                    yield
                finally:
                    self._forget(number, limit)
        except TimeoutError:
            if not limit.expired():  # the request's own
                raise
            raise RefusedError(
                401, "the key of this request was revoked while it was open", code="wrong_key"
            ) from None

    def _forget(self, number: int, limit: asyncio.Timeout) -> None:
        own = self._open.get(number, set())
        own.discard(limit)
        if not own:
            self._open.pop(number, None)

    async def watch(self) -> None:
        """Look, without end."""
        while True:
            await asyncio.sleep(self._look_seconds)
            if self._open:
                await self._look()

    async def _look(self) -> None:
        looked_up = tuple(self._open)  # others come meanwhile
        try:
            good = await asyncio.to_thread(self._keys.good, looked_up)
        except HermesError as error:  # the record is away: nobody is sent off for that
            logger.warning("keys of open requests could not be looked up: %s", error)
            return
        now = asyncio.get_running_loop().time()
        for number in set(looked_up) - good:
            for limit in self._open.pop(number, ()):
                limit.reschedule(now)
