"""The server while it runs: listens, and ends with its answers ended."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from hermes_stream.errors import ServiceError
from hermes_stream.server.app import create_app
from hermes_stream.server.connections import bounded_http
from hermes_stream.server.draining import Draining
from hermes_stream.server.listening import BACKLOG, bind, listen
from hermes_stream.server.log_lines import log_settings
from hermes_stream.server.settings import ServerSettings
from hermes_stream.server.tls import self_signed
from hermes_stream.service import Service

# What long connections need to say goodbye before they are closed.
_GOODBYE_SECONDS = 0.3


class Server:
    """A service behind HTTP.

    Args:
        service: stays the caller's to close.
        settings: of the server.
        log_level: of the least grave lines that are shown; None leaves logging as it is.

    Attributes:
        app: the application.
    """

    def __init__(
        self, service: Service, settings: ServerSettings | None = None, *, log_level: str | None = None
    ) -> None:
        self.settings = settings or ServerSettings()
        self.app: FastAPI = create_app(service, self.settings)
        self._uvicorn = _Uvicorn(
            _uvicorn_options(self.app, service, self.settings, log_level), self.app.state.hermes.draining
        )

    def run(
        self, *, on_listening: Callable[[str], None] | None = None, listener: socket.socket | None = None
    ) -> None:
        """Serve until SIGINT or SIGTERM, or ``stop``; from the main thread, signals are taken.

        Args:
            on_listening: is told the address, once the server listens.
            listener: as ``bind`` made it before, of the same settings; closed at the end.

        Raises:
            ServiceError: the address cannot be listened at.
        """
        with listener or bind(self.settings.host, self.settings.port) as taken:
            listen(taken, self.settings.host, self.settings.port)
            address = f"{self.settings.scheme}://{_shown(self.settings.host)}:{taken.getsockname()[1]}"
            self._uvicorn.on_started = lambda: None if on_listening is None else on_listening(address)
            self._uvicorn.run(sockets=[taken])

    @contextmanager
    def listening(self, *, within_seconds: float = 30.0) -> Iterator[str]:
        """Serve in a thread while the block lasts; lend the address.

        Args:
            within_seconds: how long it may take to listen, and to end.

        Raises:
            ServiceError: it does not listen in time, or cannot at all.
        """
        found: list[str] = []
        listens = threading.Event()

        def tell(url: str) -> None:
            found.append(url)
            listens.set()

        thread = threading.Thread(target=self.run, kwargs={"on_listening": tell}, name="server", daemon=True)
        thread.start()
        try:
            if not listens.wait(within_seconds):
                raise ServiceError(
                    f"the server does not listen after {within_seconds:g} s; see its log, or wait longer"
                )
            yield found[0]
        finally:
            self.stop()
            thread.join(within_seconds)

    def stop(self) -> None:
        """End: no new work, answers end within ``shutdown_seconds``. Any thread may call; returns at once."""
        self._uvicorn.should_exit = True


class _Uvicorn(uvicorn.Server):
    """Tells when it listens, and warns whoever holds a connection open before it closes them."""

    def __init__(self, options: uvicorn.Config, draining: Draining) -> None:
        super().__init__(options)
        self._draining = draining
        self.on_started: Callable[[], None] = _nothing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell it."""
        await super().startup(sockets)
        if self.started:
            self.on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM for an orderly end, after which the program goes on to its own."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, former in before.items():
                signal.signal(sig, former)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say goodbye, then close what is still open within its time."""
        self._draining.begin()
        await asyncio.sleep(_GOODBYE_SECONDS)
        await super().shutdown(sockets)


def _uvicorn_options(
    app: FastAPI, service: Service, settings: ServerSettings, log_level: str | None
) -> uvicorn.Config:
    certificate, key = settings.tls_cert, settings.tls_key
    if settings.tls_self_signed:
        certificate, key = self_signed(service.data_dir / "tls", hosts=(settings.host, *settings.allow_hosts))
    return uvicorn.Config(
        app,
        log_config=None if log_level is None else log_settings(settings.log_format, log_level),
        loop="asyncio",  # else uvicorn takes uvloop, where any other package has brought it
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=settings.max_frame_bytes + 1024,
        ws_per_message_deflate=False,  # pictures are compressed, and a bomb is none
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
        http=bounded_http(settings.max_connections, app.state.hermes.metrics.refused_connections.inc),
        h11_max_incomplete_event_size=64 * 1024,
        backlog=BACKLOG,
        ssl_certfile=None if certificate is None else str(certificate),
        ssl_keyfile=None if key is None else str(key),
    )


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _nothing() -> None:
    pass
