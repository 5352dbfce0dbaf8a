"""What happened from when to when, on which streams."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field

from hermes_stream.digest.document import report_document
from hermes_stream.digest.page import page_of, wall_of
from hermes_stream.digest.values import Picture
from hermes_stream.server.asking import picture_url
from hermes_stream.server.bodies import ERRORS, Name, Seconds
from hermes_stream.server.state import State, needs
from hermes_stream.service.record import MAX_STREAMS

router = APIRouter(tags=["record"], responses=ERRORS)
_DAY_SECONDS = 86_400.0
_DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/html": {"schema": {"type": "string"}},
        },
        "description": "The document `hermes.report/1`, or a page with its pictures within.",
    }
}


class ReportBody(
    BaseModel,
    extra="forbid",
    use_attribute_docstrings=True,
    allow_inf_nan=False,
    json_schema_extra={"examples": [{"streams": ["door"], "format": "json"}]},
):
    """What is to be told."""

    streams: Annotated[list[Name], Field(min_length=1, max_length=MAX_STREAMS)] | None = None
    """Names of streams, open or closed; all without."""
    since: Annotated[Seconds | None, Field(alias="from")] = None
    """Not before this wall-clock time, seconds since 1970; the last day without."""
    until: Annotated[Seconds | None, Field(alias="to")] = None
    """Before this wall-clock time, seconds since 1970; now without."""
    min_chapter_seconds: Annotated[float | None, Field(gt=0)] = None
    """Length of a chapter, at least; 10 without."""
    max_chapters: Annotated[int | None, Field(ge=1, le=1000)] = None
    """Chapters of a stream, at most; 24 without."""
    format: Literal["json", "html"] = "json"
    """A document, or one page that opens without a server."""


@router.post("/v1/reports", responses=_DOCUMENT, response_class=Response, dependencies=needs("read"))
def report(body: ReportBody, state: State) -> Response:
    """Tell what happened: chapters, incidents, answers, descriptions, counts, pictures, of each stream."""
    until = time.time() if body.until is None else body.until
    since = until - _DAY_SECONDS if body.since is None else body.since
    record = state.service.record
    digests = record.report(
        body.streams,
        since=since,
        until=until,
        min_chapter_seconds=body.min_chapter_seconds,
        max_chapters=body.max_chapters,
    )
    if body.format == "html":
        title = f"{wall_of(since)} to {wall_of(until)}"
        page = page_of(digests, title=title, read_picture=record.picture)
        # the page says so itself, too: saved, it has no headers
        headers = {
            "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
        }
        return HTMLResponse(page, headers=headers)
    document = report_document(digests, _address, from_wall_seconds=since, to_wall_seconds=until)
    return JSONResponse(document)


def _address(picture: Picture) -> str | None:
    return picture_url(picture.path)
