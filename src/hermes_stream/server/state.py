"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, params
from starlette.requests import HTTPConnection

from hermes_stream.server.access.callers import Access, Caller
from hermes_stream.server.access.quotas import Quotas
from hermes_stream.server.access.signing import Signer
from hermes_stream.server.access.standing import Standing
from hermes_stream.server.arrivals import Arrivals
from hermes_stream.server.draining import Draining
from hermes_stream.server.event_signal import EventSignal
from hermes_stream.server.media_work import MediaWork
from hermes_stream.server.metrics import Metrics
from hermes_stream.server.page_files import PageFiles
from hermes_stream.server.previews import Previews
from hermes_stream.server.realtime.leases import Leases
from hermes_stream.server.settings import ServerSettings
from hermes_stream.server.uploads import Uploads
from hermes_stream.service import Service
from hermes_stream.service.keys import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """What the routes of one server share.

    Attributes:
        service: does what is asked.
        settings: of the server.
        access: tells who calls.
        standing: ends what is open when its key is revoked.
        signer: makes and reads what clients carry.
        quotas: how much each key's holder may do.
        uploads: files that were sent.
        previews: newest pictures as JPEG.
        signal: tells that there are new events.
        media: threads that read what clients send.
        leases: streams of sessions whose client may come back.
        metrics: what is counted.
        draining: tells that the server is about to end.
        page: the page's files.
        arrivals: times of pictures that bring none.
    """

    service: Service
    settings: ServerSettings
    access: Access
    standing: Standing
    signer: Signer
    quotas: Quotas
    uploads: Uploads
    previews: Previews
    signal: EventSignal
    media: MediaWork
    leases: Leases
    metrics: Metrics
    draining: Draining
    page: PageFiles
    arrivals: Arrivals


async def state_of(connection: HTTPConnection) -> ServerState:
    """Return what the server of a request shares; asynchronous, as no thread need be waited for."""
    state: ServerState = connection.app.state.hermes
    return state


class Needs:
    """A route's claim to what its caller may do.

    Args:
        scope: of the key.

    Attributes:
        scope: of the key.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """Return who calls.

        Raises:
            RefusedError: the key does not reach as far.
        """
        scope: Mapping[str, object] = connection.scope
        caller = scope["hermes.caller"]
        assert isinstance(caller, Caller)
        caller.check(self.scope)
        return caller


def needs(scope: Scope) -> list[params.Depends]:
    """Return the claim of a route that does not care who its caller is, as long as they may."""
    return [Depends(Needs(scope))]


State = Annotated[ServerState, Depends(state_of)]
Reader = Annotated[Caller, Depends(Needs("read"))]
Asker = Annotated[Caller, Depends(Needs("ask"))]
