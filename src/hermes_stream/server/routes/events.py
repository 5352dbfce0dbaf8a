"""What happened: listed, or told as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, Field

from hermes_stream.server.asking import picture_url
from hermes_stream.server.bodies import ERRORS, EventId, Seconds
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.sse import EventStream, sse, sse_comment
from hermes_stream.server.state import ServerState, State, needs
from hermes_stream.service.events import Event

router = APIRouter(tags=["events"], responses=ERRORS)

_PAGE = 500
_HEARTBEAT_SECONDS = 15.0
_SSE_EXAMPLE = 'id: 7\nevent: stream_opened\ndata: {"id": 7, "kind": "stream_opened", "stream": "door"}\n\n'


class EventBody(BaseModel):
    """An event."""

    id: int
    kind: str
    stream: str | None
    epoch: int | None
    pts_seconds: float | None
    wall_seconds: float
    payload: dict[str, Any]
    picture_url: str | None


class EventPage(BaseModel, use_attribute_docstrings=True):
    """Events, and where to go on."""

    object: str = "list"
    items: Annotated[list[EventBody], Field(serialization_alias="data")]
    last_id: int
    """Number of the last event of the page: go on with `after` of it, in the same order."""
    has_more: bool
    """Whether there are more in this order."""


class Wanted(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """Which events a client wants."""

    after: EventId | None = None
    """Events with greater numbers; with `newest_first` smaller ones, where 0 begins with the newest."""
    stream: Annotated[str, Field(max_length=64)] | None = None
    """Of one stream alone."""
    kind: Annotated[list[str], Field(max_length=50)] | None = None
    """Of one or several kinds alone."""
    since: Seconds | None = None
    """Wall-clock time, seconds since 1970."""
    until: Seconds | None = None
    """Wall-clock time, seconds since 1970."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """Events, at most; there may be more."""
    newest_first: bool = False
    """The newest first; `after` then leads on to older ones."""

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """Kinds, as the service takes them."""
        return tuple(self.kind) if self.kind else None


@router.get(
    "/v1/events",
    response_model=EventPage,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _SSE_EXAMPLE}}}
    },
    dependencies=needs("read"),
)
async def list_events(
    request: Request,
    state: State,
    wanted: Annotated[Wanted, Query()],
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> object:
    """List events; `after` of a page's `last_id` is the next page, in the same order.

    With `Accept: text/event-stream`, go on, from `Last-Event-ID`, `after`, or now.
    """
    if wanted.stream is not None:  # a name that there is not is told, not waited for
        await asyncio.to_thread(state.service.stream, wanted.stream)
    if "text/event-stream" in request.headers.get("accept", ""):
        begin = await asyncio.to_thread(_beginning, state, wanted.after, last_event_id)
        return EventStream(_followed(state, wanted, begin))
    found = await asyncio.to_thread(
        state.service.events,
        wanted.after or 0,
        stream=wanted.stream,
        kinds=wanted.kinds,
        since=wanted.since,
        until=wanted.until,
        limit=wanted.limit + 1,
        newest_first=wanted.newest_first,
    )
    page = [body_of(event) for event in found[: wanted.limit]]
    last = page[-1].id if page else wanted.after or 0
    return EventPage(items=page, last_id=last, has_more=len(found) > wanted.limit)


def body_of(event: Event) -> EventBody:
    """Return an event with the address of its picture."""
    fields = asdict(event) | {"payload": dict(event.payload)}
    return EventBody(**fields, picture_url=picture_url(fields.pop("picture")))


def _beginning(state: ServerState, after: int | None, last_event_id: str | None) -> int:
    """Return the number behind which a client wants events: its last, the one it names, or the newest."""
    if last_event_id:
        if not (last_event_id.isascii() and last_event_id.isdigit()):
            raise RefusedError(
                400,
                f"Last-Event-ID is {last_event_id!r}; send the number of an event, or leave it out",
                code="invalid_event_id",
                param="Last-Event-ID",
            )
        return min(int(last_event_id), 2**63 - 1)
    if after is not None:
        return after
    newest = state.service.events(0, newest_first=True, limit=1)
    return newest[0].id if newest else 0


async def _followed(state: ServerState, wanted: Wanted, after: int) -> AsyncGenerator[bytes]:
    yield sse(id=after)  # a client that loses the connection before the first event goes on from here, too
    while not state.draining.has_begun:
        changed, heard = state.signal.next, state.signal.newest_id
        page = await asyncio.to_thread(
            state.service.events, after, stream=wanted.stream, kinds=wanted.kinds, limit=_PAGE
        )
        for event in page:
            after = event.id
            yield sse(body_of(event).model_dump(), event=event.kind, id=event.id)
        if len(page) < _PAGE:  # what is not wanted is passed over once, and not at each look again
            after = max(after, heard)
        if not page and await state.draining.unless(changed.wait(), seconds=_HEARTBEAT_SECONDS) is None:
            yield sse_comment("still here")
