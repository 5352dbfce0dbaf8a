"""The record, found by words and time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from hermes_stream.server.asking import picture_url
from hermes_stream.server.bodies import ERRORS, Seconds
from hermes_stream.server.state import State, needs
from hermes_stream.service.search import SearchResult

router = APIRouter(tags=["record"], responses=ERRORS)


class SnippetBody(BaseModel, use_attribute_docstrings=True):
    """The part of a text in which words were found."""

    text: str
    """Plain text; escape it where it is shown."""
    marks: list[tuple[int, int]]
    """Where words that were looked for begin and end in it, in characters."""


class FoundBody(BaseModel, use_attribute_docstrings=True):
    """Something of the record."""

    event: int
    """Its number among the events."""
    stream: str | None
    """Name of its stream."""
    kind: str
    """Kind of the event; `answered` are questions with their answers."""
    stream_seconds: float | None
    """When, in seconds of the stream."""
    wall_seconds: float
    """When, seconds since 1970."""
    snippet: SnippetBody
    """Where its text has the words."""
    picture_url: str | None
    """Address of its picture on this server."""


class SearchBody(BaseModel, use_attribute_docstrings=True):
    """What was found, the newest first."""

    results: list[FoundBody]
    """At most as many as were asked for."""
    next: int | None
    """`before` of the next page; none where this is the last."""


class Sought(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """What somebody looks for."""

    q: Annotated[str, Field(max_length=1000)] = ""
    """Words: each finds what begins with it, `"words in quotes"` what stands there, `-word` leaves out."""
    stream: Annotated[str, Field(max_length=64)] | None = None
    """Of one stream alone."""
    kind: Annotated[list[str], Field(max_length=50)] | None = None
    """Of one or several kinds alone."""
    since: Annotated[Seconds | None, Field(alias="from")] = None
    """Not before this wall-clock time, seconds since 1970."""
    until: Annotated[Seconds | None, Field(alias="to")] = None
    """Before this wall-clock time, seconds since 1970."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    """Results, at most."""
    before: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    """Events with smaller numbers."""


@router.get("/v1/search", dependencies=needs("read"))
def search(state: State, sought: Annotated[Sought, Query()]) -> SearchBody:
    """Find events, answers and descriptions by words and time, the newest first."""
    page = state.service.record.search(
        sought.q,
        stream=sought.stream,
        kinds=tuple(sought.kind) if sought.kind else None,
        since=sought.since,
        until=sought.until,
        before=sought.before,
        limit=sought.limit,
    )
    return SearchBody(results=[_body_of(one) for one in page.results], next=page.next_before)


def _body_of(found: SearchResult) -> FoundBody:
    event = found.event
    return FoundBody(
        event=event.id,
        stream=event.stream,
        kind=event.kind,
        stream_seconds=event.pts_seconds,
        wall_seconds=event.wall_seconds,
        snippet=SnippetBody(text=found.snippet.text, marks=list(found.snippet.marks)),
        picture_url=picture_url(event.picture),
    )
