"""What every request passes before its body is read: who sends it, how many there are, how large it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hermes_stream.server.access.callers import Caller
from hermes_stream.server.errors import Refusal, RefusedError, refusal_of
from hermes_stream.server.sse import sse
from hermes_stream.server.state import ServerState
from hermes_stream.server.uploads import AROUND_BYTES

logger = logging.getLogger(__name__)

PUBLIC = frozenset(
    {"/", "/docs", "/openapi.json", "/health", "/health/live", "/health/ready", "/v1/login", "/v1/logout"}
)
"""Addresses that need no key; so do the page's files."""
_PAGE = "/page/"
_PROBES = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
_PUBLIC_BODY_BYTES = 64 * 1024
_UPLOADS = "/v1/files"
# A body that stalls longer keeps a place that others wait for.
_BODY_SECONDS = 30.0
_SLOWEST_BYTES_PER_SECOND = 4096
_POLICY_VIOLATION, _MAX_REASON_CHARACTERS = 1008, 100


class Gate:
    """Lets requests in.

    Args:
        app: what is behind it.
        state: what the server shares.
    """

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app, self._state = app, state
        self._num_open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with what it lacks."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        is_probe = scope["path"] in _PROBES
        response = _Response(scope, send)
        self._num_open += 1
        self._state.metrics.open_connections.inc()
        try:
            if not is_probe:
                self._check_room()
            headers = Headers(scope=scope)
            limit = self._body_limit(scope, headers)
            caller = scope["hermes.caller"] = await self._identify(scope, headers)
            taking = _bounded(receive, limit) if scope["type"] == "http" else receive
            async with self._state.standing.of(caller):
                await self._app(scope, taking, response.send)
        except RefusedError as error:
            await response.refuse(error, receive)
        finally:
            self._num_open -= 1
            self._state.metrics.open_connections.dec()

    def _check_room(self) -> None:
        if self._state.draining.has_begun:
            raise RefusedError(
                503,
                "the server is about to end and takes no new work; try again",
                code="going_away",
                retry_after_seconds=5,
            )
        most = self._state.settings.max_connections
        if self._num_open > most:
            raise RefusedError(
                429,
                f"{most} requests and WebSockets are open, which is the most; try again",
                code="too_many_connections",
                accepted={"max_connections": most},
                retry_after_seconds=1,
            )

    def _body_limit(self, scope: Scope, headers: Mapping[str, str]) -> int:
        settings = self._state.settings
        limit = settings.max_body_bytes
        if _is_public(scope):
            limit = _PUBLIC_BODY_BYTES
        elif scope["path"] == _UPLOADS:
            limit = settings.max_file_bytes + AROUND_BYTES
        declared = headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > limit:
            raise too_large(limit)
        return limit

    async def _identify(self, scope: Scope, headers: Mapping[str, str]) -> Caller:
        if _is_public(scope):
            return Caller(key=None)
        is_websocket = scope["type"] == "websocket"
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return await asyncio.to_thread(
            self._state.access.identify,
            headers,
            _cookies(headers),
            method="WEBSOCKET" if is_websocket else scope["method"],
            token=query.get("token", [None])[0] if is_websocket else None,
        )


def _is_public(scope: Scope) -> bool:
    return scope["path"] in PUBLIC or scope["path"].startswith(_PAGE)


class _Response:
    """What was sent so far, which decides how a refusal can still be told."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._has_begun = self._is_event_stream = False

    async def send(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
            self._has_begun = True
            kind = Headers(raw=message.get("headers", ())).get("content-type", "")
            self._is_event_stream = kind.startswith("text/event-stream")
        await self._send(message)

    async def refuse(self, error: RefusedError, receive: Receive) -> None:
        """Tell what is wrong: by a status, by a close code, as the last event, or by breaking off."""
        if not self._has_begun:
            await send_refusal(error, self._scope, receive, self._send)
        elif self._scope["type"] == "websocket":
            with suppress(RuntimeError, OSError):  # it is closed already
                reason = error.refusal.message[:_MAX_REASON_CHARACTERS]
                await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
        elif self._is_event_stream:
            with suppress(RuntimeError, OSError):
                last = sse(error.refusal.body, event="error")
                await self._send({"type": "http.response.body", "body": last})


def _bounded(receive: Receive, limit: int) -> Callable[[], Awaitable[Message]]:
    """Return a way to receive a body that refuses what is too large or too slow."""
    size, is_whole, began = 0, False, time.monotonic()

    async def receive_bounded() -> Message:
        nonlocal size, is_whole
        if is_whole:  # what comes now is that the client leaves, whenever that is
            return await receive()
        # a byte now and then would keep a place as well as no byte at all
        due = began + _BODY_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
        patience = min(_BODY_SECONDS, max(0.0, due - time.monotonic()))
        try:
            message = await asyncio.wait_for(receive(), patience)
        except TimeoutError:
            raise RefusedError(
                408,
                f"the body stalled, or came more slowly than {_SLOWEST_BYTES_PER_SECOND:,} bytes a second; "
                "send it at once",
                code="too_slow",
            ) from None
        size += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if size > limit:
            raise too_large(limit)
        return message

    return receive_bounded


def too_large(limit: int) -> RefusedError:
    """Return the refusal of a body that has more than so many bytes."""
    return RefusedError(
        413,
        f"the body has more than {limit:,} bytes, which is the most here; send less",
        code="too_large",
        accepted={"max_bytes": limit},
    )


def _cookies(headers: Mapping[str, str]) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


async def send_refusal(error: BaseException, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or a WebSocket that was not accepted yet, with what is wrong."""
    refusal = refusal_of(error)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        reason = refusal.message[:_MAX_REASON_CHARACTERS]
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
        return
    await refusal_response(refusal)(scope, receive, send)


def refusal_response(refusal: Refusal) -> Response:
    """Return the response that tells what is wrong."""
    headers = dict(refusal.all_headers)
    if refusal.status == HTTPStatus.CONFLICT:
        headers["x-should-retry"] = "false"  # openai's clients try conflicts again, which helps nobody here
    return JSONResponse(refusal.body, status_code=refusal.status, headers=headers)
