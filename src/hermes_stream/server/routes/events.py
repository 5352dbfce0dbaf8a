"""What happened: listed, or told as it happens."""

from __future__ import annotations

import asyncio
import re
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
_OF_LISTS = ("since", "until", "limit", "newest_first")
_NUMBER = re.compile(r"[0-9]{1,40}")  # int refuses thousands of digits
_LAST_EVENT_ID = "Number of the last event that was told; what is no number begins now."
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
    last_event_id: Annotated[str | None, Header(description=_LAST_EVENT_ID)] = None,
) -> object:
    """List events; `after` of a page's `last_id` is the next page, in the same order.

    With `Accept: text/event-stream`, tell events as they come, from behind `Last-Event-ID` or `after`; from
    now on where there is neither, or it is beyond the newest. Only lists take `since`, `until`, `limit` and
    `newest_first`.
    """
    if wanted.stream is not None:  # a name that there is not is told, not waited for
        await asyncio.to_thread(state.service.stream, wanted.stream)
    if "text/event-stream" in request.headers.get("accept", ""):
        _check_followed(request)
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


def _check_followed(request: Request) -> None:
    """Refuse what has no meaning for events that are told as they come.

    Raises:
        RefusedError: something of the kind is asked for.
    """
    name = next((one for one in _OF_LISTS if one in request.query_params), None)
    if name is not None:
        raise RefusedError(
            400,
            f"events that are told as they come take no {name!r}, but 'after', 'stream' and 'kind'; leave it "
            "out, or ask for a list, without 'Accept: text/event-stream'",
            code="invalid_value",
            param=name,
        )


def _beginning(state: ServerState, after: int | None, last_event_id: str | None) -> int:
    """Return the number behind which a client wants events: its last, the one it names, or the newest.

    One that is beyond the newest is of a record that was here before; behind it nothing would ever come.
    """
    found = state.service.events(0, newest_first=True, limit=1)
    newest = found[0].id if found else 0
    if last_event_id:
        after = int(last_event_id) if _NUMBER.fullmatch(last_event_id) else None
    return newest if after is None else min(after, newest)


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
