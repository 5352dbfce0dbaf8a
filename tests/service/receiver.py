"""Receivers of webhooks on the loopback: an HTTP server that keeps what it got, and one that never ends."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """What tests look at; ``statuses`` are answered one by one, then 204, while it is ``answering``."""

    def __init__(self, port: int = 0) -> None:
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.answering = threading.Event()
        self.answering.set()
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = own.statuses.pop(0) if own.statuses else 204
                if status < 300:
                    own.messages.append(({k.lower(): v for k, v in self.headers.items()}, body))
                own.answering.wait()
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Lend a receiver."""
    receiver = Receiver(port)
    with _serving(receiver.server, ends=receiver.answering):
        yield receiver


@contextmanager
def _serving(server: socketserver.BaseServer, *, ends: threading.Event) -> Iterator[None]:
    """Let a server serve; what is set in the end lets those go on that it keeps waiting."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        ends.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Endless:
    """What tests look at: a receiver that has been called so often, and is connected to so many."""

    def __init__(self, begin: bytes, piece: bytes) -> None:
        self.num_calls = self.num_open = 0
        self.ended = threading.Event()
        changing, own = threading.Lock(), self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(0.02)
                try:
                    self._drip()
                except OSError:  # the sender has left
                    pass
                finally:
                    with changing:
                        own.num_open -= 1

            def _drip(self) -> None:
                asked = b""
                while not asked:
                    asked = self._read()
                with changing:
                    own.num_calls += 1
                self.request.sendall(begin)
                while not own.ended.is_set():
                    self.request.sendall(piece)
                    self._read()

            def _read(self) -> bytes:
                try:
                    if found := self.request.recv(65536):
                        return found
                except TimeoutError:
                    return b""
                raise ConnectionResetError

            def setup(self) -> None:
                with changing:
                    own.num_open += 1

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def endless(begin: bytes = b"", piece: bytes = b"") -> Iterator[Endless]:
    """Lend a receiver that answers so, then with the same piece every 20 ms, until its caller leaves."""
    receiver = Endless(begin, piece)
    with _serving(receiver.server, ends=receiver.ended):
        yield receiver
