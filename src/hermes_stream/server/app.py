"""The application: a service behind HTTP. It translates, and decides nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from hermes_stream import __version__
from hermes_stream.errors import HermesError
from hermes_stream.server.access.callers import Access
from hermes_stream.server.access.quotas import Quotas
from hermes_stream.server.access.signing import Signer, server_secret
from hermes_stream.server.access.standing import Standing
from hermes_stream.server.arrivals import Arrivals
from hermes_stream.server.document import allowed_methods, describe
from hermes_stream.server.draining import Draining
from hermes_stream.server.errors import refusal_of
from hermes_stream.server.event_signal import EventSignal
from hermes_stream.server.gate import Gate, refusal_response
from hermes_stream.server.media_work import MediaWork
from hermes_stream.server.metrics import Metrics
from hermes_stream.server.page_files import read_page
from hermes_stream.server.previews import Previews
from hermes_stream.server.realtime.leases import Leases, is_leased
from hermes_stream.server.request_log import RequestLog
from hermes_stream.server.routes import (
    about,
    chat,
    clips,
    docs,
    events,
    figures,
    files,
    frames,
    health,
    incidents,
    login,
    memory,
    page,
    preview,
    questions,
    realtime,
    reports,
    search,
    snapshots,
    streaming_sessions,
    streams,
    watches,
    webhooks,
)
from hermes_stream.server.settings import ServerSettings
from hermes_stream.server.state import ServerState
from hermes_stream.server.uploads import Uploads
from hermes_stream.service import Service

# Calls of a service wait for the engine's step and for the disk, not for a core.
_NUM_THREADS = 32
_ROUTERS = (
    health.router,
    docs.router,
    page.router,
    login.router,
    about.router,
    figures.router,
    streams.router,
    questions.router,
    frames.router,
    preview.router,
    watches.router,
    events.router,
    search.router,
    reports.router,
    clips.router,
    incidents.router,
    webhooks.router,
    snapshots.router,
    memory.router,
    files.router,
    chat.router,
    realtime.router,
    streaming_sessions.router,
)
logger = logging.getLogger(__name__)
_SWEEP_SECONDS = 60.0


def create_app(service: Service, settings: ServerSettings | None = None) -> FastAPI:
    """Return an ASGI application over a running service, which stays the caller's to close.

    Args:
        service: does what is asked.
        settings: of the server; the default serves this machine alone, without keys.

    Raises:
        OSError: the server's secret cannot be kept in the data folder.
    """
    state = _state(service, settings or ServerSettings())
    # Outermost first: what is refused at the gate has an id and a line in the log, too.
    middleware: list[Middleware] = [Middleware(RequestLog, metrics=state.metrics)]
    if state.settings.allow_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(state.settings.allow_origins),
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["X-Request-ID", "Retry-After", "X-Pts-Seconds"],
            )
        )
    middleware.append(Middleware(Gate, state=state))
    app = _routed(middleware=middleware, lifespan=_lifespan)
    app.state.hermes = state
    for kind in (
        HermesError,
        HTTPException,
        ValueError,
        RequestValidationError,
        WebSocketRequestValidationError,
    ):
        app.add_exception_handler(kind, _told)
    app.state.document = describe(app, _ROUTERS)
    return app


def api_document() -> dict[str, Any]:
    """Return the OpenAPI document, without a service."""
    return describe(_routed(), _ROUTERS)


def _routed(**options: Any) -> FastAPI:
    """Return an application with all routes."""
    app = FastAPI(
        title="hermes-stream",
        version=__version__,
        summary="Watches video as it streams in and answers questions about it at any moment.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        **options,
    )
    for router in _ROUTERS:
        app.include_router(router)
    return app


def _state(service: Service, settings: ServerSettings) -> ServerState:
    signer = Signer(server_secret(service.data_dir / "server.secret"))
    return ServerState(
        service=service,
        settings=settings,
        access=Access(settings, service.keys, signer),
        standing=Standing(service.keys),
        signer=signer,
        quotas=Quotas(),
        uploads=Uploads(
            service.data_dir / "uploads",
            max_file_bytes=settings.max_file_bytes,
            max_bytes=settings.max_files_bytes,
            keep_seconds=settings.keep_files_seconds,
        ),
        previews=Previews(service),
        signal=EventSignal(service),
        media=MediaWork(),
        leases=Leases(service),
        metrics=Metrics(service),
        draining=Draining(),
        page=read_page(),
        arrivals=Arrivals(),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: ServerState = app.state.hermes
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="server"))
    state.signal.start()
    tasks = [asyncio.ensure_future(one) for one in (_sweep(state), state.standing.watch())]
    try:
        yield
    finally:
        state.draining.begin()
        for task in tasks:
            task.cancel()
        state.leases.close()
        state.media.close()
        await state.signal.close()


async def _sweep(state: ServerState) -> None:
    """Delete files that are too old, and streams of sessions that nobody comes back to, now and then."""
    while True:
        try:
            await asyncio.to_thread(state.uploads.sweep)
            # again and again: replicas take streams of others, and a session may end before it has its own
            streams = await asyncio.to_thread(state.service.streams)
            state.leases.start([one.name for one in streams if is_leased(one.name)])
        except Exception:
            logger.exception("what is too old is deleted later")
        await asyncio.sleep(_SWEEP_SECONDS)


async def _told(connection: HTTPConnection, error: Exception) -> Any:
    """Answer with what is wrong; a WebSocket that was not accepted yet likewise."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"Allow": ", ".join(allowed_methods(_ROUTERS, connection.scope))}
    response = refusal_response(refusal_of(error))
    if isinstance(connection, WebSocket):
        await connection.send_denial_response(response)
        return None  # what is returned would be sent a second time
    return response
