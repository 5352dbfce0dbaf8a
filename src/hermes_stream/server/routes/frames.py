"""Frames that are pushed, one by one or over a WebSocket that stays."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, WebSocket
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from hermes_stream.server.bodies import ERRORS, FramesReceipt, StreamName
from hermes_stream.server.errors import RefusedError, refusal_of
from hermes_stream.server.pushing import MAX_PTS_US, PushedPicture, checked_pts, push, read_message
from hermes_stream.server.sockets import closing_at_drain, next_message
from hermes_stream.server.state import ServerState, State, needs

router = APIRouter(prefix="/v1/streams/{name}", tags=["frames"], responses=ERRORS)

_MAX_PICTURES = 64
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["frames", "pts_us"],
        "properties": {
            "frames": {
                "type": "array",
                "maxItems": _MAX_PICTURES,
                "items": {"type": "string", "format": "binary"},
            },
            "pts_us": {
                "type": "array",
                "maxItems": _MAX_PICTURES,
                "items": {"type": "integer", "minimum": 0},
            },
        },
    }
}
_BODY = {"requestBody": {"required": True, "content": {
    "image/jpeg": _PICTURE, "image/png": _PICTURE, "multipart/form-data": _FORM,
}}}  # fmt: skip


@router.post("/frames", openapi_extra=_BODY, dependencies=needs("ask"))
async def push_frames(
    name: StreamName,
    request: Request,
    state: State,
    pts_us: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_PTS_US,
            description="When it was taken, in microseconds of the stream; by its arrival without.",
        ),
    ] = None,
) -> FramesReceipt:
    """Push a picture as the body, or several as the parts `frames` of a form, each with its `pts_us`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        pictures = await _pictures_of_form(request)
    elif kind in ("image/jpeg", "image/png", "application/octet-stream"):
        pictures = [PushedPicture(pts_us=pts_us, encoded=await request.body())]
    else:
        raise RefusedError(
            400,
            f"the body is {kind or 'of no type'!r}; send a picture as image/jpeg or image/png, or several as "
            "multipart/form-data",
            code="wrong_content_type",
            param="Content-Type",
            accepted=["image/jpeg", "image/png", "multipart/form-data"],
        )
    return await asyncio.to_thread(push, state, name, pictures)


async def _pictures_of_form(request: Request) -> list[PushedPicture]:
    try:
        async with request.form(max_files=_MAX_PICTURES, max_fields=_MAX_PICTURES) as form:
            files = [one for one in form.getlist("frames") if isinstance(one, UploadFile)]
            times = [str(one) for one in form.getlist("pts_us")]
            if not files or len(files) != len(times) or not all(map(_is_number, times)):
                raise RefusedError(
                    400,
                    f"the form has {len(files)} frames and {len(times)} times; give at least one frame, and "
                    "for each a pts_us, a whole number of microseconds",
                    code="invalid_form",
                    param="pts_us",
                )
            return [
                PushedPicture(pts_us=checked_pts(int(at)), encoded=await file.read())
                for at, file in zip(times, files, strict=True)
            ]
    except MultiPartException as error:
        raise RefusedError(400, f"the form cannot be read: {error.message}", code="invalid_form") from error


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


@router.websocket("/frames", dependencies=needs("ask"))
async def push_frames_live(name: StreamName, socket: WebSocket, state: State) -> None:
    """Push pictures: binary messages of 8 bytes of time and a JPEG; each is acknowledged."""
    await asyncio.to_thread(state.service.stream, name)  # refused before it is accepted
    await socket.accept()
    async with closing_at_drain(socket, state.draining):
        while (message := await next_message(socket)) is not None:
            await socket.send_json(await _acknowledged(state, name, message))


async def _acknowledged(state: ServerState, name: str, message: bytes | str) -> dict[str, object]:
    """Return what became of a message; a bad one is told, and the next may be good."""
    try:
        if isinstance(message, str):
            raise RefusedError(
                400,
                "a text message came; send binary ones: 8 bytes of time, then a JPEG",
                code="invalid_message",
            )
        picture = read_message(message)
        return (await asyncio.to_thread(push, state, name, [picture])).model_dump()
    except Exception as error:
        return refusal_of(error).body
