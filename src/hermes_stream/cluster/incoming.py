"""What a client sends with a request, and whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from hermes_stream.cluster.forwarding import Receive


class ClientGoneError(Exception):
    """A client left in the middle of its request."""


class Incoming:
    """The body of one request, and then nothing until its client leaves.

    Args:
        receive: of the request.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_read = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body.

        Raises:
            ClientGoneError: it ends before its end: a replica must not take it for whole.
        """
        while (message := await self._receive())["type"] != "http.disconnect":
            if piece := message.get("body", b""):
                yield piece
            if not message.get("more_body", False):
                self._is_read.set()
                return
        raise ClientGoneError

    async def answered(self, work: Coroutine[Any, Any, None], *, has_body: bool) -> None:
        """Do work until it is done or the client has left, so that the replica sees it leave, too.

        Args:
            work: that answers the request.
            has_body: whether it reads the body.
        """
        if not has_body:
            self._is_read.set()
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self._left())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def _left(self) -> None:
        await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
