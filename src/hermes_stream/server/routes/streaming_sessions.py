"""Streams in the words of vLLM's draft of a streaming API: a session, and frames or questions to it."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from hermes_stream.server.asking import answer_body, asked, count_question
from hermes_stream.server.bodies import ERRORS, AnswerBody, FramesReceipt, OpenStream, StreamName
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.pushing import MAX_PTS_US, PushedPicture, push
from hermes_stream.server.routes.streams import check_owner, opened
from hermes_stream.server.sse import while_client_stays
from hermes_stream.server.state import Asker, State

router = APIRouter(prefix="/v1/streaming/sessions", tags=["streaming sessions"], responses=ERRORS)

_TEXT = {"schema": {"type": "string"}}
_JPEG = {"schema": {"type": "string", "format": "binary"}}
_BODY = {"requestBody": {"required": True, "content": {"image/jpeg": _JPEG, "text/plain": _TEXT}}}


class OpenSession(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """A session to open."""

    policy: Annotated[str, Field(max_length=500)] | None = None
    """What its memory keeps."""
    budget_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    """Visual tokens that each layer keeps."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Pictures sampled per second."""


class SessionBody(BaseModel):
    """A session; its id is the name of its stream."""

    id: str
    object: str = "streaming.session"
    created_at: int


class FrameReply(BaseModel):
    """What became of a frame, or what a question is answered."""

    session_id: str
    frame: FramesReceipt | None = None
    answer: AnswerBody | None = None


@router.post("", status_code=201)
async def open_session(body: OpenSession, state: State, caller: Asker) -> SessionBody:
    """Open a stream for frames that are pushed."""
    name = f"session-{secrets.token_hex(12)}"
    await opened(state, caller, OpenStream(name=name, **body.model_dump(exclude_none=True)))
    return SessionBody(id=name, created_at=int(time.time()))


@router.post("/{name}/frame", openapi_extra=_BODY)
async def push_frame(
    name: StreamName,
    request: Request,
    state: State,
    caller: Asker,
    *,
    pts_us: Annotated[int | None, Query(ge=0, le=MAX_PTS_US)] = None,
) -> FrameReply:
    """Push a picture (image/jpeg, image/png), or ask (text/plain) and get the answer."""
    content = await request.body()
    if request.headers.get("content-type", "").startswith("text/plain"):
        count_question(state, caller)
        return await while_client_stays(request, _answered(state, name, _text(content)))

    picture = PushedPicture(pts_us=pts_us, encoded=content)
    return FrameReply(session_id=name, frame=await asyncio.to_thread(push, state, name, [picture]))


async def _answered(state: State, name: str, question: str) -> FrameReply:
    async with asked(state, name, question) as answer:
        return FrameReply(session_id=name, answer=await answer_body(name, answer))


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the question is no UTF-8 ({error})", code="invalid_text") from error


@router.delete("/{name}", status_code=204)
async def close_session(name: StreamName, state: State, caller: Asker) -> None:
    """Close a session and forget it. Others' sessions need `admin`."""
    await asyncio.to_thread(check_owner, state, caller, name)
    await asyncio.to_thread(state.service.close_stream, name, delete=True)
