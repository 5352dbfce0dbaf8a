"""The one address before all replicas: each request goes to the replica that has its stream.

It speaks the routes of ``hermes_stream.server`` by handing them on; keys are checked by the replicas. It
holds nothing of its own: any number of them may run, and each may end at any time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict
from urllib.parse import parse_qs

import httpx

from hermes_stream.cluster.addressing import NAMED_IN_BODY, OPENS, stream_of_body, stream_of_path
from hermes_stream.cluster.forwarding import (
    Receive,
    ReplicaGoneError,
    Scope,
    Send,
    forward,
    gone_message,
    new_client,
    passed_on,
    refusal,
    refuse,
    respond,
    url_of,
)
from hermes_stream.cluster.incoming import ClientGoneError, Incoming
from hermes_stream.cluster.merging import merged_capacity, merged_metrics, merged_streams
from hermes_stream.cluster.replica_finder import ReplicaFinder
from hermes_stream.cluster.sockets import forward_socket
from hermes_stream.errors import HermesError, OverloadedError
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.gate import send_refusal, too_large
from hermes_stream.service.ownership.replica_rows import ReplicaRow

log = logging.getLogger(__name__)
_MAX_BODY_BYTES = 32 * 1024 * 1024
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_MERGED_SECONDS = 5.0
_RETRY_AFTER = [(b"content-type", b"application/json"), (b"retry-after", b"1")]


class Gateway:
    """An ASGI application.

    Args:
        finder: knows who has which stream.
        max_body_bytes: of a body that has to be read here, because it says which stream it is about.
    """

    def __init__(self, finder: ReplicaFinder, *, max_body_bytes: int = _MAX_BODY_BYTES) -> None:
        self._finder, self._max_body_bytes = finder, max_body_bytes
        self._client: httpx.AsyncClient | None = None
        self._merges = {
            "/v1/streams": self._list_streams,
            "/v1/capacity": self._tell_capacity,
            "/v1/cluster": self._tell_replicas,
            "/metrics": self._tell_metrics,
            "/health": self._tell_health,
            "/health/live": self._tell_health,
            "/health/ready": self._tell_health,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            return
        try:
            if scope["type"] == "websocket":
                await self._pass_socket(scope, receive, send)
            elif scope["method"] == "GET" and (merge := self._merges.get(scope["path"])) is not None:
                await merge(scope, send)
            else:
                await self._pass(scope, receive, send)
        except (HermesError, ReplicaGoneError) as error:
            await _tell(error, scope, send)
        except RefusedError as error:
            await send_refusal(error, scope, receive, send)
        except ClientGoneError:
            pass

    async def _live(self, receive: Receive, send: Send) -> None:
        """Begin, and at the end close what was opened."""
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        if self._client is not None:
            await self._client.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    @property
    def client(self) -> httpx.AsyncClient:
        """What speaks with replicas; made within the event loop."""
        if self._client is None:
            self._client = new_client()
        return self._client

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on; again where what was known of its stream is over."""
        incoming = Incoming(receive)
        has_body = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        await incoming.answered(self._handed_on(scope, incoming, send, has_body=has_body), has_body=has_body)

    async def _handed_on(self, scope: Scope, incoming: Incoming, send: Send, *, has_body: bool) -> None:
        path = scope["path"]
        body: bytes | AsyncIterator[bytes] = incoming.pieces() if has_body else b""
        name = stream_of_path(path, scope.get("query_string", b""))
        if has_body and path in NAMED_IN_BODY:
            body = await self._whole(incoming)
            name = stream_of_body(path, body)
        for is_last in (False, False, True):
            address = await self._address(name, opens=has_body and path == OPENS)
            try:
                await forward(self.client, address, scope, body, send=send)
                return
            except ReplicaGoneError:
                self._finder.forget(name, address)
                # what may have been done is not done again, and a body that was read is gone
                if is_last or has_body:
                    raise

    async def _pass_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = stream_of_path(scope["path"], scope.get("query_string", b""))
        address = await self._address(name)
        try:
            await forward_socket(address, scope, receive, send)
        except ReplicaGoneError:
            self._finder.forget(name, address)
            raise

    async def _address(self, name: str | None, *, opens: bool = False) -> str:
        """Return where a request goes."""
        owner = None if name is None else await self._finder.owner(name)
        if owner is not None:
            return owner.address
        return await self._finder.any(name if opens else None)

    async def _whole(self, incoming: Incoming) -> bytes:
        body = bytearray()
        async for piece in incoming.pieces():
            body += piece
            if len(body) > self._max_body_bytes:
                raise too_large(self._max_body_bytes)
        return bytes(body)

    async def _ask_all(self, scope: Scope) -> list[tuple[ReplicaRow, httpx.Response]]:
        """Ask every replica the same; one that does not answer is left out."""
        headers = [one for one in passed_on(list(scope["headers"])) if one[0] != b"content-length"]

        async def ask(replica: ReplicaRow) -> httpx.Response | None:
            try:
                url = url_of(replica.address, scope)
                return await self.client.get(url, headers=headers, timeout=_MERGED_SECONDS)
            except httpx.TransportError as error:
                log.warning("replica %s does not answer: %s", replica.name, error)
                return None

        replicas = await self._finder.replicas()
        answers = await asyncio.gather(*map(ask, replicas))
        found = [(one, answer) for one, answer in zip(replicas, answers, strict=True) if answer is not None]
        if not found:
            raise OverloadedError("no replica answers; try again", retry_after_seconds=1)
        return found

    async def _merge(self, scope: Scope, send: Send) -> list[tuple[ReplicaRow, httpx.Response]] | None:
        """Return what all say; where one refuses, so does this, and it is None."""
        found = await self._ask_all(scope)
        for _, answer in found:
            if answer.status_code != httpx.codes.OK:
                await respond(
                    send, answer.status_code, answer.content, headers=passed_on(_plain(answer.headers.raw))
                )
                return None
        return found

    async def _list_streams(self, scope: Scope, send: Send) -> None:
        if (found := await self._merge(scope, send)) is None:
            return
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("closed", ["false"])
        closed = asked[0].lower() in ("1", "true", "yes", "on")
        listings = [answer.json() for _, answer in found]
        await respond(send, 200, merged_streams(listings, await self._finder.unowned(), closed=closed))

    async def _tell_capacity(self, scope: Scope, send: Send) -> None:
        if (found := await self._merge(scope, send)) is not None:
            await respond(send, 200, merged_capacity([(one.name, answer.json()) for one, answer in found]))

    async def _tell_metrics(self, scope: Scope, send: Send) -> None:
        if (found := await self._merge(scope, send)) is None:
            return
        text = merged_metrics((one.name, answer.text) for one, answer in found)
        await respond(send, 200, text.encode(), headers=[(b"content-type", _TEXT.encode())])

    async def _tell_replicas(self, scope: Scope, send: Send) -> None:
        # whoever may see the capacity of one may see who there is
        if await self._merge({**scope, "path": "/v1/capacity", "raw_path": b"/v1/capacity"}, send) is None:
            return
        replicas = [asdict(one) for one in await self._finder.replicas()]
        content = {"replicas": replicas, "unowned": list(await self._finder.unowned())}
        await respond(send, 200, content)

    async def _tell_health(self, _: Scope, send: Send) -> None:
        alive = await self._finder.replicas()
        reasons = [] if alive else ["no replica lives"]
        content = {"is_live": True, "is_ready": bool(alive), "reasons": reasons, "num_replicas": len(alive)}
        await respond(send, 200 if alive else 503, content)


def _plain(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return headers of a body that was unpacked."""
    return [one for one in headers if one[0].lower() not in (b"content-encoding", b"content-length")]


async def _tell(error: Exception, scope: Scope, send: Send) -> None:
    message = gone_message() if isinstance(error, ReplicaGoneError) else str(error)
    await refuse(scope, send, 503, refusal(message, "replica_gone"), headers=_RETRY_AFTER)
