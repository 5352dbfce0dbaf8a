"""What every request passes before its body is read: who sends it, how many there are, how large it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hermes_stream.server.access.callers import Caller
from hermes_stream.server.errors import Refusal, RefusedError, refusal_of
from hermes_stream.server.state import ServerState

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
        self._num_open += 1
        self._state.metrics.open_connections.inc()
        try:
            if not is_probe:
                self._check_room()
            headers = Headers(scope=scope)
            limit = self._body_limit(scope, headers)
            scope["hermes.caller"] = await self._identify(scope, headers)
            await self._app(scope, _bounded(receive, limit) if scope["type"] == "http" else receive, send)
        except RefusedError as error:
            await send_refusal(error, scope, receive, send)
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
            limit = settings.max_file_bytes + _PUBLIC_BODY_BYTES  # what is around the file
        declared = headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
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


def _bounded(receive: Receive, limit: int) -> Callable[[], Awaitable[Message]]:
    """Return a way to receive a body that refuses what is too large or too slow."""
    size, is_whole = 0, False

    async def receive_bounded() -> Message:
        nonlocal size, is_whole
        if is_whole:  # what comes now is that the client leaves, whenever that is
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), _BODY_SECONDS)
        except TimeoutError:
            raise RefusedError(
                408, f"no more of the body came for {_BODY_SECONDS:g} s; send it at once", code="too_slow"
            ) from None
        size += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if size > limit:
            raise _too_large(limit)
        return message

    return receive_bounded


def _too_large(limit: int) -> RefusedError:
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
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.message[:100]})
        return
    await refusal_response(refusal)(scope, receive, send)


def refusal_response(refusal: Refusal) -> Response:
    """Return the response that tells what is wrong."""
    headers = dict(refusal.all_headers)
    if refusal.status == HTTPStatus.CONFLICT:
        headers["x-should-retry"] = "false"  # openai's clients try conflicts again, which helps nobody here
    return JSONResponse(refusal.body, status_code=refusal.status, headers=headers)
