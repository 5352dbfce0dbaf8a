"""WebSockets that stay open: messages of both kinds, and a warning before the server goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from hermes_stream.server.draining import Draining, cancelled_after

GOING_AWAY = 1001


async def next_message(socket: WebSocket) -> bytes | str | None:
    """Return the next message, binary or text; None when the client has left."""
    if socket.application_state is WebSocketState.DISCONNECTED:
        return None
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        return None
    content: bytes | str | None = message.get("bytes")
    return message["text"] if content is None else content


@asynccontextmanager
async def closing_at_drain(
    socket: WebSocket, draining: Draining, *, before: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[None]:
    """Close a WebSocket when the server is about to end, or its work does.

    Args:
        socket: is open.
        draining: tells that the server is about to end.
        before: what is told then, before.
    """
    async with cancelled_after(asyncio.ensure_future(_close_at_drain(socket, draining, before))):
        # a client that leaves while something is sent to it is no failure
        with suppress(WebSocketDisconnect):
            yield
    if (
        socket.application_state is WebSocketState.CONNECTED
        and socket.client_state is WebSocketState.CONNECTED
    ):
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.close()


async def _close_at_drain(
    socket: WebSocket, draining: Draining, before: Callable[[], Awaitable[None]] | None
) -> None:
    await draining.wait()
    with suppress(RuntimeError, WebSocketDisconnect):
        if before is not None:
            await before()
        await socket.close(GOING_AWAY, "the server is about to end; connect again")
