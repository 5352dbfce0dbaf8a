"""What a stream remembers: which moments, and the pictures of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import BaseModel

from hermes_stream.server.asking import picture_url
from hermes_stream.server.bodies import ERRORS, StreamName
from hermes_stream.server.state import State, needs
from hermes_stream.service.status import LayerMoments

router = APIRouter(tags=["memory"], responses=ERRORS)

_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
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


@router.get("/v1/streams/{name}/memory", dependencies=needs("read"))
def show_memory(name: StreamName, state: State) -> MemoryBody:
    """Return which moments each layer holds, by tier, with pictures."""
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
