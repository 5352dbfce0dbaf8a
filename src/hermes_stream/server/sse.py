"""Server-sent events, and answers that end when nobody reads them any more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi.sse import format_sse_event
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from hermes_stream.server.draining import cancelled_after
from hermes_stream.server.errors import RefusedError, refusal_of

T = TypeVar("T")

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """A response of server-sent events.

    Args:
        events: each as ``sse`` writes it; closed as soon as the client leaves.
        error_event: name of the event that tells what went wrong.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes], *, error_event: str | None = "error") -> None:
        self._events = events
        super().__init__(_told(events, error_event), headers=_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until they end or the client leaves."""
        async with aclosing(self._events):  # at once, not when the collector comes by: an answer is to end
            await super().__call__(scope, receive, send)


async def _told(events: AsyncGenerator[bytes], error_event: str | None) -> AsyncIterator[bytes]:
    """Yield events; where they fail, tell it as the last, since the status has long been sent."""
    try:
        async for event in events:
            yield event
    except Exception as error:
        yield sse(refusal_of(error).body, event=error_event)


def sse(content: Any = None, *, event: str | None = None, id: int | None = None) -> bytes:
    """Return one event.

    Args:
        content: JSON values, or a text that is sent as it is.
        event: its name.
        id: what a client sends back as ``Last-Event-ID``.
    """
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    return format_sse_event(data_str=text, event=event, id=None if id is None else str(id))


def sse_comment(text: str) -> bytes:
    """Return a line that keeps a connection open and that clients pass over."""
    return format_sse_event(comment=text)


async def while_client_stays(request: Request, work: Awaitable[T]) -> T:
    """Return what something gives; where the client leaves first, end it.

    Args:
        request: its body has been read.
        work: is cancelled when the client leaves.

    Raises:
        RefusedError: the client left, so that nobody reads this.
    """
    doing = asyncio.ensure_future(work)
    async with cancelled_after(doing), cancelled_after(asyncio.ensure_future(_left(request))) as leaving:
        tasks: set[asyncio.Future[Any]] = {doing, leaving}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
    raise RefusedError(499, "the client left before its answer", code="client_left")


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
