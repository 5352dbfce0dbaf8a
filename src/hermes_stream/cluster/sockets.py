"""A WebSocket handed on to a replica: messages of both sides, each way, until one side ends it."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from hermes_stream.cluster.forwarding import Receive, ReplicaGoneError, Scope, Send, refuse, url_of

# What the library sends itself, and what is of one connection.
_OWN = ("sec-websocket-", "connection", "upgrade", "content-length", "transfer-encoding")
_TRY_AGAIN = 1013


async def forward_socket(address: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Connect to a replica as the client does to here, and pass messages on.

    Raises:
        ReplicaGoneError: the replica cannot be reached; nothing was accepted.
    """
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    own = dict(headers)
    passed = [(name, value) for name, value in headers if not name.lower().startswith(_OWN)]
    opening = connect(
        url_of(address, scope, scheme="ws"),
        additional_headers=[one for one in passed if one[0].lower() not in ("host", "origin", "user-agent")],
        origin=_rewritten_origin(own, address),
        user_agent_header=own.get("user-agent"),
        subprotocols=scope.get("subprotocols") or None,
        compression=None,
        max_size=None,
        proxy=None,
    )
    await receive()  # websocket.connect
    try:
        replica = await opening
    except InvalidStatus as error:
        response = error.response
        await refuse(scope, send, response.status_code, bytes(response.body or b""))
        return
    except (OSError, InvalidHandshake) as error:  # it is not there, or it went in the middle of an answer
        raise ReplicaGoneError(str(error)) from error
    await send({"type": "websocket.accept", "subprotocol": replica.subprotocol})
    up = asyncio.ensure_future(_from_client(replica, receive))
    down = asyncio.ensure_future(_from_replica(replica, send))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
        await replica.close()
        await asyncio.gather(up, down, return_exceptions=True)


def _rewritten_origin(headers: dict[str, str], address: str) -> Any:
    """Return the page's origin as the replica may compare it: of this server's own page, its own."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() == headers.get("host", "").lower():
        return address
    return origin


async def _from_client(replica: ClientConnection, receive: Receive) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        await replica.send(message["bytes"] if text is None else text)
    await replica.close(message.get("code") or 1000)


async def _from_replica(replica: ClientConnection, send: Send) -> None:
    try:
        async for message in replica:
            kind = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", kind: message})
    except ConnectionClosed:
        pass
    # a replica that is gone says nothing: the client is to come again
    code, reason = replica.close_code, replica.close_reason or ""
    if code in (None, 1005, 1006):
        code, reason = _TRY_AGAIN, "the replica is gone; try again"
    await send({"type": "websocket.close", "code": code, "reason": reason})
