"""Incidents: what alerts opened, and who has reviewed it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from hermes_stream.server.asking import picture_url
from hermes_stream.server.bodies import ERRORS, Listing, Seconds
from hermes_stream.server.state import Reader, State
from hermes_stream.service.incidents import Incident, Severity

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], responses=ERRORS)

IncidentId = Annotated[str, Path(max_length=64, description="The incident's id.", examples=["1-1"])]


class PictureBody(BaseModel, use_attribute_docstrings=True):
    """A picture of an incident."""

    stream_seconds: float
    """When, in seconds of the stream."""
    url: str
    """Address on this server."""


class IncidentBody(BaseModel, use_attribute_docstrings=True):
    """One thing worth telling: opened by an alert, updated, ended; one id throughout."""

    id: str
    """Its id."""
    stream: str
    """Name of the stream."""
    watch: int
    """Number of the watch, which may be gone."""
    name: str
    """Name of the watch then."""
    question: str
    """What was answered by yes."""
    severity: Severity
    """`info`, `warning` or `alarm`."""
    status: Literal["open", "ended"]
    """`open` until the alert is cleared."""
    started_seconds: float
    """Since when, in seconds of the stream."""
    ended_seconds: float | None
    """Until when."""
    started_at: str
    """When it was raised, by the wall's clock."""
    ended_at: str | None
    """When it was over."""
    score: float
    """How likely yes was when it was raised."""
    summary: str | None
    """What is seen, in words."""
    pictures: list[PictureBody]
    """From before the start until after it."""
    evidence: list[float]
    """Moments on which the answer rested, in seconds of the stream."""
    num_updates: int
    """How often it was updated."""
    reviewed: bool
    """Whether the key's holder has reviewed it."""


class ChosenIncidents(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """Which incidents a client wants."""

    stream: Annotated[str, Field(max_length=64)] | None = None
    """Of one stream alone."""
    status: Literal["open", "ended"] | None = None
    """Of this status alone."""
    begin: Annotated[Seconds | None, Field(alias="from")] = None
    """Wall-clock time, seconds since 1970."""
    end: Annotated[Seconds | None, Field(alias="to")] = None
    """Wall-clock time, seconds since 1970."""
    reviewed: bool | None = None
    """Those alone that are reviewed, or not."""
    severity: Annotated[list[Severity], Field(max_length=3)] | None = None
    """Of one or several severities alone."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """Incidents, at most."""
    before: Annotated[str, Field(max_length=64)] | None = None
    """Id of an incident; older ones are returned."""


class Review(BaseModel, extra="forbid", use_attribute_docstrings=True):
    """What is to change."""

    reviewed: bool
    """Whether it is reviewed; kept for each key."""


@router.get("")
def list_incidents(
    state: State, caller: Reader, chosen: Annotated[ChosenIncidents, Query()]
) -> Listing[IncidentBody]:
    """List incidents, the newest first."""
    found = state.service.incidents.read(
        stream=chosen.stream,
        status=chosen.status,
        severities=chosen.severity or None,
        since=chosen.begin,
        until=chosen.end,
        is_reviewed=chosen.reviewed,
        key_id=0 if caller.key is None else caller.key.id,
        before=chosen.before,
        limit=chosen.limit,
    )
    return Listing(items=list(map(body_of, found)))


@router.get("/{incident}")
def show_incident(incident: IncidentId, state: State, caller: Reader) -> IncidentBody:
    """Return one incident."""
    key_id = 0 if caller.key is None else caller.key.id
    return body_of(state.service.incidents.find(incident, key_id=key_id))


@router.patch("/{incident}")
def review_incident(incident: IncidentId, body: Review, state: State, caller: Reader) -> IncidentBody:
    """Note that you have, or have not, reviewed an incident."""
    key_id = 0 if caller.key is None else caller.key.id
    return body_of(state.service.incidents.review(incident, body.reviewed, key_id=key_id))


def body_of(one: Incident) -> IncidentBody:
    """Return an incident as the API tells it."""
    return IncidentBody(
        id=one.id,
        stream=one.stream,
        watch=one.watch,
        name=one.name,
        question=one.question,
        severity=one.severity,
        status=one.status,
        started_seconds=one.started_seconds,
        ended_seconds=one.ended_seconds,
        started_at=_iso(one.started_wall_seconds),
        ended_at=None if one.ended_wall_seconds is None else _iso(one.ended_wall_seconds),
        score=one.score,
        summary=one.summary,
        pictures=[
            PictureBody(stream_seconds=shown.stream_seconds, url=picture_url(shown.picture) or "")
            for shown in one.pictures
        ],
        evidence=list(one.evidence),
        num_updates=one.num_updates,
        reviewed=one.is_reviewed,
    )


def _iso(wall_seconds: float) -> str:
    return datetime.fromtimestamp(wall_seconds, UTC).isoformat().replace("+00:00", "Z")
