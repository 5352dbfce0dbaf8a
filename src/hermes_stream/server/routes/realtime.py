"""OpenAI's Realtime events over a WebSocket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket
from starlette.websockets import WebSocketDisconnect

from hermes_stream.server.bodies import NAME_PATTERN
from hermes_stream.server.realtime.session import RealtimeSession
from hermes_stream.server.sockets import closing_at_drain, next_message
from hermes_stream.server.state import Asker, State

router = APIRouter(prefix="/v1", tags=["openai"])


@router.websocket("/realtime")
async def converse(
    socket: WebSocket,
    state: State,
    caller: Asker,
    *,
    stream: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    resume: Annotated[str | None, Query(max_length=4096)] = None,
) -> None:
    """Take pictures and questions, and answer, in the events of OpenAI's Realtime API."""
    if resume is not None:
        stream = RealtimeSession.stream_of_token(state, resume)
    if stream is not None:
        await asyncio.to_thread(state.service.stream, stream)
    await socket.accept()

    async def send(event: dict[str, Any]) -> None:
        # a client that has left is no failure: next_message tells it, and ends the session
        with suppress(WebSocketDisconnect, RuntimeError):
            await socket.send_json(event)

    async def warn() -> None:
        await send(session.warning())

    session = RealtimeSession(state, caller, send, stream=stream, is_resumed=resume is not None)
    try:
        async with closing_at_drain(socket, state.draining, before=warn):
            await session.begin()
            while (message := await next_message(socket)) is not None:
                await session.take(message)
    finally:
        await session.end()
