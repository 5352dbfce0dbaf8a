"""Streams: open, list, change, close."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from hermes_stream.server.access.callers import Caller
from hermes_stream.server.access.quotas import check_streams
from hermes_stream.server.bodies import ERRORS, ChangeStream, Listing, OpenStream, SourceSettings, StreamName
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.state import Asker, ServerState, State, needs
from hermes_stream.service import StreamStatus
from hermes_stream.video import SourceOptions

router = APIRouter(prefix="/v1/streams", tags=["streams"], responses=ERRORS)

_UPLOAD = "file-"


@router.post("", status_code=201)
async def open_stream(body: OpenStream, state: State, caller: Asker) -> StreamStatus:
    """Open a stream: from a source, or for frames that are pushed. The same again is the same stream."""
    return await opened(state, caller, body)


async def opened(state: ServerState, caller: Caller, body: OpenStream) -> StreamStatus:
    """Open a stream within the caller's quota, off the event loop.

    Raises:
        RefusedError: the caller has as many, or the source is none that may be opened.
        HermesError: the service refuses it.
        ValueError: an option is out of its range.
    """
    own_fields = {"name", "source", "source_options", "from_snapshot"}
    options = body.model_dump(exclude_unset=True, exclude=own_fields)
    if body.source is not None:
        options |= _opening_of(state, body.source)
    if body.source_options is not None:
        options["source_options"] = _source_options(body.source_options)

    def open_it() -> StreamStatus:
        if (key := caller.key) is not None:
            own = [one for one in state.service.streams(temporary=True) if one.owner == key.id]
            check_streams(key.max_streams, sum(one.name != body.name for one in own))
            options["owner"], options["changes_others"] = key.id, key.allows("admin")
        if body.from_snapshot is None:
            return state.service.open_stream(body.name, **options)
        _begin_with_snapshot(state, body.name, body.from_snapshot, caller)
        try:
            return state.service.open_stream(body.name, **options)
        except Exception:
            state.service.close_stream(body.name, delete=True)
            raise

    def open_alone() -> StreamStatus:
        with state.quotas.opening:
            return open_it()

    is_limited = caller.key is not None and caller.key.max_streams is not None
    return await asyncio.to_thread(open_alone if is_limited else open_it)


def _begin_with_snapshot(state: ServerState, name: str, number: int, caller: Caller) -> None:
    """Open a new stream with the memory of a snapshot, whichever stream that is of."""
    caller.check("admin")  # as a fork needs
    found = next((one for one in state.service.snapshots() if one.id == number), None)
    if found is None:
        raise RefusedError(
            404,
            f"there is no snapshot {number}; GET /v1/streams/NAME/snapshots lists those of a stream",
            code="snapshot_not_found",
            param="from_snapshot",
        )
    state.service.fork(found.stream, name, number, owner=caller.key.id if caller.key else None)


def _source_options(chosen: SourceSettings) -> SourceOptions:
    values = chosen.model_dump(exclude_none=True)
    polygons = values.pop("privacy_mask", [])
    return SourceOptions(**values, privacy_mask=tuple(tuple(map(tuple, one)) for one in polygons))


def _opening_of(state: ServerState, source: str) -> dict[str, object]:
    """Return how the service opens a source that came over the network, which nobody trusts."""
    if source.startswith(_UPLOAD):
        return {"source": str(state.uploads.path(source))}
    if "://" not in source:
        raise RefusedError(
            403,
            # not told back: it may hold a password
            "source is no address of a network source (SCHEME://...); upload a file and give its id, or an "
            "address that allow_sources permits",
            code="source_refused",
            param="source",
            accepted=list(state.settings.allow_sources),
        )
    settings = state.settings
    return {
        "source": source,
        "allow_sources": settings.allow_sources,
        "private_networks": settings.private_networks,
    }


@router.get("", dependencies=needs("read"))
def list_streams(
    state: State,
    closed: Annotated[bool, Query(description="Name closed streams too.")] = False,
) -> Listing[StreamStatus]:
    """List streams with their state."""
    return Listing(items=list(state.service.streams(closed=closed)))


@router.get("/{name}", dependencies=needs("read"))
def show_stream(name: StreamName, state: State) -> StreamStatus:
    """Return one stream as it is now."""
    return state.service.stream(name)


@router.patch("/{name}", dependencies=needs("admin"))
def change_stream(name: StreamName, body: ChangeStream, state: State) -> StreamStatus:
    """Give a stream another name, or another policy from now on."""
    if body.policy is None and body.budget_tokens is not None:
        raise RefusedError(
            400,
            "budget_tokens changes with the policy; give policy too",
            code="policy_missing",
            param="policy",
        )
    if body.policy is not None:
        state.service.set_policy(name, body.policy, budget_tokens=body.budget_tokens)
    if body.name is not None and body.name != name:
        state.service.rename(name, body.name)
    return state.service.stream(body.name or name)


@router.delete("/{name}", status_code=204)
def close_stream(
    name: StreamName,
    state: State,
    caller: Asker,
    delete: Annotated[bool, Query(description="Delete its record, pictures and snapshots too.")] = False,
) -> None:
    """Close a stream; it opens again with its memory, unless it is deleted. Others' streams need `admin`."""
    check_owner(state, caller, name)
    state.service.close_stream(name, delete=delete)


def check_owner(state: ServerState, caller: Caller, name: str) -> None:
    """Check that a stream is the caller's to close: opened with its key, or the key is an administrator's.

    Raises:
        RefusedError: it is another's.
        UnknownStreamError: there is none.
    """
    if caller.key is None or state.service.stream(name).owner != caller.key.id:
        caller.check("admin")
