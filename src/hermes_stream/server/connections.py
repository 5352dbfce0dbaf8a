"""Connections are bounded in number, and in the time that they may keep a request waiting for its headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15.0
"""How long the head of a request may take."""
_SPARE = 64
"""Beside as many as may have a request open: for probes, and for refusals in words."""


class BoundedHttp(H11Protocol):
    """uvicorn's connection, which is closed where its client sends no whole head of a request in time.

    Args:
        most: connections that may be open at once; what comes beyond is closed.
        head_seconds: from the connection, or a request's first byte, to the end of its head.
        refused: is called for each connection that was closed by either.
    """

    def __init__(
        self, *, most: int, head_seconds: float, refused: Callable[[], None], **uvicorns: Any
    ) -> None:
        super().__init__(**uvicorns)
        self._most, self._head_seconds, self._refused = most, head_seconds, refused
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or close it at once."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._end()
        else:
            self._await_head()

    def handle_events(self) -> None:
        """Take what the client has sent."""
        has_sent = bool(self.conn.trailing_data[0])  # else it is called at the end of a response
        if has_sent and self._deadline is None and not self._has_request:
            self._await_head()
        super().handle_events()
        if self._has_request or self.transport.get_protocol() is not self:  # a WebSocket has taken over
            self._forget_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._forget_deadline()
        super().connection_lost(exc)

    @property
    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(self._head_seconds, self._end)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._refused()
        self.transport.abort()


def bounded_http(max_requests: int, refused: Callable[[], None]) -> type[asyncio.Protocol]:
    """Return what uvicorn makes a connection of.

    Args:
        max_requests: that may be open at once.
        refused: is called for each connection that was closed because there are too many, or it is too slow.
    """
    made = partial(BoundedHttp, most=max_requests + _SPARE, head_seconds=HEAD_SECONDS, refused=refused)
    return cast("type[asyncio.Protocol]", made)
