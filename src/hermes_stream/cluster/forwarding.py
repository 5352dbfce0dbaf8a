"""One request handed on to a replica, and its answer handed back, piece by piece."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import httpx

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# They are of one connection, and this program has two (RFC 9110, section 7.6.1).
_OF_ONE_CONNECTION = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"),
        *(b"upgrade", b"expect"),
    }
)
_CONNECT_SECONDS = 2.0
_REFUSED = 1008  # of WebSockets
BODY_PIECES = AsyncIterator[bytes]


class ReplicaGoneError(Exception):
    """A replica did not answer; nothing of an answer was sent on."""


def new_client() -> httpx.AsyncClient:
    """Return what speaks with replicas; an answer may take any time, a connection may not."""
    timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=15.0)
    return httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)


def passed_on(headers: Headers) -> Headers:
    """Return the headers that are not of one connection."""
    named = {
        word.strip() for name, value in headers if name.lower() == b"connection" for word in value.split(b",")
    }
    left_out = _OF_ONE_CONNECTION | {word.lower() for word in named}
    return [(name, value) for name, value in headers if name.lower() not in left_out]


async def forward(
    client: httpx.AsyncClient, address: str, scope: Scope, body: bytes | BODY_PIECES, *, send: Send
) -> int:
    """Send a request to a replica, and its answer back; return the status.

    Args:
        client: of the event loop.
        address: of the replica.
        scope: of the request.
        body: of the request, whole or in pieces.
        send: gets the answer.

    Returns:
        The status; a 503 is not sent back but returned, for the caller may know better.

    Raises:
        ReplicaGoneError: no answer began.
    """
    request = client.build_request(
        scope["method"], url_of(address, scope), headers=passed_on(list(scope["headers"])), content=body
    )
    try:
        response = await client.send(request, stream=True)
    except httpx.TransportError as error:
        raise ReplicaGoneError(str(error) or type(error).__name__) from error
    try:
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            content = await response.aread()
            if _code_of(content) == "not_owner":
                raise ReplicaGoneError("another replica has the stream, or is about to")
            await respond(send, response.status_code, content, headers=passed_on(response.headers.raw))
            return response.status_code
        await _hand_back(response, send)
        return response.status_code
    finally:
        await response.aclose()


async def _hand_back(response: httpx.Response, send: Send) -> None:
    headers = passed_on(response.headers.raw)
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    # whoever follows events comes again with the last one's id; an answer is not whole, and is told so
    is_told = (
        response.headers.get("content-type", "").startswith("text/event-stream")
        and response.request.method != "GET"
    )
    last = b""
    try:
        async for piece in response.aiter_raw():
            # an event is sent on whole, or what is told at the end would be taken for a part of it
            whole, end, last = (last + piece).rpartition(b"\n\n") if is_told else (piece, b"", b"")
            await send({"type": "http.response.body", "body": whole + end, "more_body": True})
    except httpx.TransportError:
        if not is_told:
            raise
        last = f"event: error\ndata: {json.dumps(refusal(gone_message(), 'replica_gone'))}\n\n".encode()
    await send({"type": "http.response.body", "body": last, "more_body": False})


def url_of(address: str, scope: Scope, *, scheme: str | None = None) -> str:
    """Return where a request goes at a replica."""
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"")
    base = address if scheme is None else f"{scheme}://{address.partition('://')[2]}"
    return base + path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")


def gone_message() -> str:
    """Return what whoever waited for an answer is told."""
    return "the replica that was answering is gone; the stream goes on at another one: try again"


def refusal(message: str, code: str) -> dict[str, Any]:
    """Return an error as all servers of this package tell it."""
    return {"error": {"message": message, "type": "service_unavailable_error", "param": None, "code": code}}


def _code_of(content: bytes) -> str | None:
    try:
        return json.loads(content)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None


async def respond(send: Send, status: int, content: Any, *, headers: Headers | None = None) -> None:
    """Send an answer that is whole: bytes as they are, or JSON values."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    if headers is None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def refuse(
    scope: Scope, send: Send, status: int, content: Any, *, headers: Headers | None = None
) -> None:
    """Answer a request, or a WebSocket that was not accepted yet, with a refusal that is whole."""

    async def denied(message: MutableMapping[str, Any]) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    if scope["type"] == "http":
        await respond(send, status, content, headers=headers)
    elif "websocket.http.response" in scope.get("extensions", {}):
        await respond(denied, status, content, headers=headers)
    else:
        await send({"type": "websocket.close", "code": _REFUSED, "reason": f"refused with {status}"})
