"""What a stream shows now, for people: one picture, or at most five a second."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket
from fastapi.responses import Response
from starlette.websockets import WebSocketDisconnect

from hermes_stream.errors import HermesError
from hermes_stream.server.bodies import ERRORS, StreamName
from hermes_stream.server.draining import cancelled_after
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.pushing import write_message
from hermes_stream.server.sockets import closing_at_drain, next_message
from hermes_stream.server.state import ServerState, State, needs

router = APIRouter(prefix="/v1/streams/{name}", tags=["preview"], responses=ERRORS)

MAX_PREVIEW_FPS = 5.0
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
Fps = Annotated[float, Query(gt=0, le=MAX_PREVIEW_FPS, description="Pictures a second, at most.")]


@router.get("/preview", response_class=Response, responses=_JPEG, dependencies=needs("read"))
def show_preview(name: StreamName, state: State) -> Response:
    """Return the newest picture as JPEG; its time is in the header `X-Pts-Seconds`."""
    newest = state.previews.newest(name)
    if newest is None:
        raise RefusedError(
            409, f"stream {name!r} has shown no picture yet; try again when it is live", code="no_video"
        )
    headers = {"Cache-Control": "no-store", "X-Pts-Seconds": f"{newest.pts_seconds:.6f}"}
    return Response(newest.jpeg, media_type="image/jpeg", headers=headers)


@router.websocket("/preview", dependencies=needs("read"))
async def watch_preview(
    name: StreamName, socket: WebSocket, state: State, fps: Fps = MAX_PREVIEW_FPS
) -> None:
    """Send the newest picture whenever there is a newer one: 8 bytes of time, then a JPEG."""
    await asyncio.to_thread(state.service.stream, name)
    await socket.accept()
    sending = asyncio.ensure_future(_send_previews(name, socket, state, 1 / fps))
    async with closing_at_drain(socket, state.draining), cancelled_after(sending):
        reading = asyncio.ensure_future(_read_to_end(socket))
        async with cancelled_after(reading):
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)


async def _send_previews(name: str, socket: WebSocket, state: ServerState, pause_seconds: float) -> None:
    shown: float | None = None
    # a stream that was closed, or a client that has left, ends it: who connects again is told why
    with suppress(HermesError, WebSocketDisconnect):
        while True:
            began = time.monotonic()
            newest = await asyncio.to_thread(state.previews.newest, name, after_seconds=shown)
            if newest is not None:
                shown = newest.pts_seconds
                # waits while the client is slow: what it does not see is not made
                await socket.send_bytes(write_message(newest.pts_seconds, newest.jpeg))
                state.metrics.count_preview(len(newest.jpeg))
            await asyncio.sleep(max(0.0, began + pause_seconds - time.monotonic()))


async def _read_to_end(socket: WebSocket) -> None:
    """Pass over whatever comes, until the client leaves."""
    while await next_message(socket) is not None:
        pass
