"""The gateway's own listener, in a thread."""

from __future__ import annotations

import threading
import time
from typing import Any

import uvicorn

from hermes_stream.errors import ServiceError
from hermes_stream.server.listening import bind

_BEGIN_SECONDS, _GOODBYE_SECONDS = 10.0, 5
_MAX_MESSAGE_BYTES = 512 * 1024 * 1024  # the replica knows what is too much
_BACKLOG = 1024


class Listening:
    """Serves an application until it is closed.

    Args:
        app: of ASGI.
        host: to listen at.
        port: to listen at; 0 takes a free one.
        shared: let other gateways of this user listen at the same port: the system hands each connection to
            one of those that live, so that one that ends, or is replaced, leaves no moment without.

    Attributes:
        port: that it listens at.

    Raises:
        ServiceError: it cannot listen there.
    """

    def __init__(self, app: Any, host: str, port: int, *, shared: bool = False) -> None:
        self._sockets = [bind(host, port, is_shared=True)] if shared else None
        options = uvicorn.Config(
            app,
            host=host.strip("[]"),
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,  # the replica's own is handed on
            proxy_headers=False,
            ws="websockets-sansio",
            ws_max_size=_MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
            backlog=_BACKLOG,
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _BEGIN_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ServiceError(f"cannot listen at {host}, port {port}; end the program that has it")
            time.sleep(0.01)
        listening = self._sockets or self._server.servers[0].sockets
        self.port: int = listening[0].getsockname()[1]

    def _run(self) -> None:
        try:
            self._server.run(sockets=self._sockets)
        except SystemExit:  # how uvicorn says that the address is taken
            return

    @property
    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End what is open, and listen no more; safe to repeat."""
        self._server.should_exit = True
        self._thread.join(2 * _GOODBYE_SECONDS)
