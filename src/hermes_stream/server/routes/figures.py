"""How streams and service are now: once, or again and again, so that nobody needs to ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from hermes_stream.server.bodies import ERRORS
from hermes_stream.server.sse import EventStream, sse
from hermes_stream.server.state import ServerState, State, needs
from hermes_stream.service import Health, ServiceCapacity, StreamStatus

router = APIRouter(prefix="/v1/figures", tags=["figures"], responses=ERRORS)

_EXAMPLE = 'event: figures\ndata: {"wall_seconds": 1790000000.0, "streams": [], ...}\n\n'
_TOLD: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}}}
}
EverySeconds = Annotated[float, Query(ge=0.2, le=60, description="How often, as events; a pause, at least.")]


class FiguresBody(BaseModel, use_attribute_docstrings=True):
    """How all streams and the service are now."""

    wall_seconds: float
    """When this was, seconds since 1970, by the server's clock."""
    streams: list[StreamStatus]
    """Those that are open."""
    capacity: ServiceCapacity
    """How much fits, and what limits it."""
    health: Health
    """Whether the service lives and takes work."""


@router.get("", response_model=FiguresBody, responses=_TOLD, dependencies=needs("read"))
async def show_figures(request: Request, state: State, every_seconds: EverySeconds = 1.0) -> object:
    """Return how streams and service are; with `Accept: text/event-stream`, again and again."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return EventStream(_followed(state, every_seconds))
    return await asyncio.to_thread(_figures, state)


async def _followed(state: ServerState, every_seconds: float) -> AsyncGenerator[bytes]:
    while not state.draining.has_begun:
        figures = await asyncio.to_thread(_figures, state)
        yield sse(figures.model_dump(), event="figures")
        await state.draining.unless(asyncio.sleep(every_seconds))


def _figures(state: ServerState) -> FiguresBody:
    service = state.service
    return FiguresBody(
        wall_seconds=time.time(),
        streams=list(service.streams()),
        capacity=service.capacity(),
        health=service.health(),
    )
