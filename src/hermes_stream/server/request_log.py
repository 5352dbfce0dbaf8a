"""One line of the log for each request, with an id that its response, errors and traces have, too."""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextvars import ContextVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hermes_stream.server.gate import send_refusal
from hermes_stream.server.metrics import Metrics

logger = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CONTEXT: ContextVar[dict[str, str] | None] = ContextVar("hermes_request", default=None)


def request_context() -> dict[str, str]:
    """Return the ids of the request that is being answered, for lines of the log; empty outside of one."""
    return _CONTEXT.get() or {}


class RequestLog:
    """Gives every request an id, and tells how it ended.

    Args:
        app: what is behind it.
        metrics: counts requests.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else f"req-{secrets.token_hex(12)}"
        token = _CONTEXT.set({"request_id": request_id})
        started, outcome = time.perf_counter(), _Outcome(scope, send, request_id)
        try:
            await self._answer(scope, receive, outcome)
        finally:
            self._tell(scope, outcome, time.perf_counter() - started)
            _CONTEXT.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, outcome: _Outcome) -> None:
        try:
            await self._app(scope, receive, outcome.send)
        except Exception as error:
            if outcome.status:  # too late to tell the client
                logger.exception("a response broke off")
                raise
            await send_refusal(error, scope, receive, outcome.send)

    def _tell(self, scope: Scope, outcome: _Outcome, seconds: float) -> None:
        route = route_of(scope)
        method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        self._metrics.count_request(method=method, route=route, status=outcome.status, seconds=seconds)
        ids = {**request_context(), **stream_of(scope)}
        # the path without its query, in which tokens travel
        logger.info(
            "%s %s %d %.3f s",
            method,
            scope["path"],
            outcome.status,
            seconds,
            extra={**ids, "method": method, "route": route, "status": outcome.status, "seconds": seconds},
        )


class _Outcome:
    """Watches what is sent."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope, self._send, self._request_id = scope, send, request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self._request_id
            _mark_span({"request_id": self._request_id, **stream_of(self._scope)})
        elif message["type"] == "websocket.accept":
            self.status = 101
        await self._send(message)


def route_of(scope: Scope) -> str:
    """Return the template of the address that a request went to, ``(none)`` for one that there is not."""
    return str(getattr(scope.get("route"), "path", "(none)"))


def stream_of(scope: Scope) -> dict[str, str]:
    """Return which stream a request was about, where its address says so."""
    name = scope.get("path_params", {}).get("name")
    return {} if name is None else {"stream": str(name)[:64]}


def _mark_span(attributes: dict[str, str]) -> None:
    """Note on the framework's own span what leads from a trace to the log."""
    try:
        from opentelemetry import trace
    except ImportError:  # the extra otel is not installed
        return
    trace.get_current_span().set_attributes({f"hermes.{name}": text for name, text in attributes.items()})
