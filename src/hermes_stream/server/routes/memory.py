"""What a stream remembers: which moments, and the pictures of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel

from hermes_stream.server.asking import picture_url
from hermes_stream.server.bodies import ERRORS, StreamName
from hermes_stream.server.routes.figures import EverySeconds
from hermes_stream.server.sse import EventStream, sse, sse_comment
from hermes_stream.server.state import ServerState, State, needs
from hermes_stream.service.status import LayerMoments

router = APIRouter(tags=["memory"], responses=ERRORS)

_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}


_EXAMPLE = 'event: memory\ndata: {"stream": "door", "layers": [], "pictures": []}\n\n'
_TOLD: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}}}
}


class MomentPicture(BaseModel):
    """A picture of a moment."""

    seconds: float
    picture_url: str | None


class MemoryBody(BaseModel):
    """Which moments a memory keeps, layer by layer, from the shallowest to the deepest."""

    stream: str
    layers: list[LayerMoments]
    pictures: list[MomentPicture]


@router.get(
    "/v1/streams/{name}/memory", response_model=MemoryBody, responses=_TOLD, dependencies=needs("read")
)
async def show_memory(
    name: StreamName, request: Request, state: State, every_seconds: EverySeconds = 1.0
) -> object:
    """Return which moments each layer holds; with `Accept: text/event-stream`, again when they change."""
    first = await asyncio.to_thread(_memory, state, name)
    if "text/event-stream" in request.headers.get("accept", ""):
        return EventStream(_followed(state, first, every_seconds))
    return first


async def _followed(state: ServerState, newest: MemoryBody, every_seconds: float) -> AsyncGenerator[bytes]:
    yield sse(newest.model_dump(), event="memory")
    while await state.draining.unless(asyncio.sleep(every_seconds, result=True)):
        now = await asyncio.to_thread(_memory, state, newest.stream)
        if now == newest:
            yield sse_comment("the same")
            continue
        newest = now
        yield sse(now.model_dump(), event="memory")


def _memory(state: ServerState, name: str) -> MemoryBody:
    memory = state.service.memory(name)
    pictures = [
        MomentPicture(seconds=at, picture_url=picture_url(path))
        for at, path in sorted(memory.pictures.items())
    ]
    return MemoryBody(stream=name, layers=list(memory.layers), pictures=pictures)


@router.get("/v1/pictures/{path:path}", response_class=Response, responses=_JPEG, dependencies=needs("read"))
def show_picture(
    path: Annotated[str, Path(max_length=300, description="As events, evidence and memory name it.")],
    state: State,
) -> Response:
    """Return a stored picture as JPEG."""
    headers = {"Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(state.service.picture(path), media_type="image/jpeg", headers=headers)
