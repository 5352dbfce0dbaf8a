"""Memories on disk: saved, listed, restored, made a second stream of."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from hermes_stream.server.bodies import ERRORS, Listing, Name, StreamName
from hermes_stream.server.state import State, needs
from hermes_stream.service import SnapshotStatus, StreamStatus

router = APIRouter(tags=["snapshots"], responses=ERRORS)

Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="The snapshot's number.")]


class ForkBody(BaseModel, extra="forbid", use_attribute_docstrings=True):
    """A second stream with the memory of the first."""

    name: Name
    """Of the new stream."""
    snapshot: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    """Number of a snapshot to begin with; the memory as it is now without."""


@router.get("/v1/snapshots", dependencies=needs("read"))
def list_all_snapshots(state: State) -> Listing[SnapshotStatus]:
    """List the snapshots of all streams."""
    return Listing(items=list(state.service.snapshots()))


@router.get("/v1/streams/{name}/snapshots", dependencies=needs("read"))
def list_snapshots(name: StreamName, state: State) -> Listing[SnapshotStatus]:
    """List the snapshots of a stream."""
    return Listing(items=list(state.service.snapshots(name)))


@router.post("/v1/streams/{name}/snapshots", status_code=201, dependencies=needs("admin"))
def save_snapshot(name: StreamName, state: State) -> SnapshotStatus:
    """Save a stream's memory."""
    return state.service.snapshot(name)


@router.post("/v1/streams/{name}/snapshots/{number}/restore", dependencies=needs("admin"))
def restore_snapshot(name: StreamName, number: Number, state: State) -> StreamStatus:
    """Give a stream the memory that it had."""
    state.service.restore(name, number)
    return state.service.stream(name)


@router.delete("/v1/streams/{name}/snapshots/{number}", status_code=204, dependencies=needs("admin"))
def delete_snapshot(name: StreamName, number: Number, state: State) -> None:
    """Delete a snapshot; the newest that nobody asked for stays, since the stream comes back from it."""
    state.service.delete_snapshot(name, number)


@router.post("/v1/streams/{name}/fork", status_code=201, dependencies=needs("admin"))
def fork_stream(name: StreamName, body: ForkBody, state: State) -> StreamStatus:
    """Open a second stream with this one's memory, for frames that are pushed."""
    state.service.fork(name, body.name, snapshot=body.snapshot)
    return state.service.stream(body.name)
