"""A stream that lives as long as one request, for the pictures that the request brings."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hermes_stream.errors import HermesError
from hermes_stream.server.media_work import Stop
from hermes_stream.server.openai.media import frames_of, stream_of
from hermes_stream.server.openai.requests import ChatRequest
from hermes_stream.server.state import ServerState
from hermes_stream.service import StreamStatus

PREFIX = "chat-"

_PIECE_FRAMES = 8
_WAIT_SECONDS = 60.0


@asynccontextmanager
async def watched(state: ServerState, request: ChatRequest) -> AsyncIterator[str]:
    """Lend the name of a stream that has seen what a request shows.

    Args:
        state: of the server.
        request: names a stream, or brings pictures.

    Raises:
        RefusedError: it does neither, or what it brings cannot be read.
        HermesError: the service refuses the stream.
    """
    named = stream_of(request.media)
    if named is not None:
        yield named
        return
    name = PREFIX + secrets.token_hex(16)
    opening = asyncio.ensure_future(
        asyncio.to_thread(state.service.open_stream, name, temporary=True, **_options(request))
    )
    try:
        await asyncio.shield(opening)  # goes on where the client leaves meanwhile, and is closed below
        await state.media.do(lambda stop: _feed(state, name, request, stop))
        yield name
    finally:
        await asyncio.shield(_leave(state, name, opening))


async def _leave(state: ServerState, name: str, opening: asyncio.Future[StreamStatus]) -> None:
    """Close a stream that may be about to be opened; one that was refused is none."""
    await asyncio.wait({opening})
    if opening.exception() is None:
        await asyncio.to_thread(_close, state, name)


def _options(request: ChatRequest) -> dict[str, Any]:
    chosen = {
        "fps": request.hermes.fps,
        "policy": request.hermes.policy,
        "budget_tokens": request.hermes.budget_tokens,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _feed(state: ServerState, name: str, request: ChatRequest, stop: Stop) -> None:
    fps = state.service.stream(name).fps
    waiting = []
    for frame in frames_of(state, request.media, fps=fps, stop=stop):
        waiting.append(frame)
        if len(waiting) == _PIECE_FRAMES:
            state.service.push_frames(name, waiting, wait_seconds=_WAIT_SECONDS)
            waiting = []
    if waiting:
        state.service.push_frames(name, waiting, wait_seconds=_WAIT_SECONDS)


def _close(state: ServerState, name: str) -> None:
    try:
        state.service.close_stream(name, delete=True)
    except HermesError:
        if not state.service.health().is_live:  # a service that is closing closes its streams itself
            return
        raise
