"""A relay between FFmpeg and a camera, for protocols whose connection FFmpeg opens by itself.

FFmpeg can neither be told which number of a name to connect to nor to stop waiting. So it connects to the
relay on this machine, and the relay to the camera: to a number that was checked, and cut whenever it must be.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from typing import final

from hermes_stream.video.sources.dialing import wait_for
from hermes_stream.video.sources.lifeline import Lifeline

_MAX_WAITING_BYTES = 2**18
_REDIRECT = re.compile(rb"RTSP/1\.[01] 30\d")


@final
class Relay:
    """Carries bytes between the first client of a port on this machine and a connected socket.

    Args:
        upstream: connected to the camera; closed with the relay.
        lifeline: when to cut both off.

    Attributes:
        host_and_port: where it listens, on this machine alone, as a URL has it.
    """

    def __init__(self, upstream: socket.socket, lifeline: Lifeline) -> None:
        self._upstream, self._lifeline = upstream, lifeline
        # As the camera's address is: over UDP it sends to a port that FFmpeg opens like this one.
        is_six = upstream.family == socket.AF_INET6
        host = "::1" if is_six else "127.0.0.1"
        self._listener = socket.create_server((host, 0), family=upstream.family, backlog=1)
        port = self._listener.getsockname()[1]
        self.host_and_port = f"[{host}]:{port}" if is_six else f"{host}:{port}"
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay")
        self._thread.start()

    def close(self) -> None:
        """Cut both off; nothing is left."""
        self._is_closed.set()
        self._thread.join()

    @property
    def _is_over(self) -> bool:
        return self._is_closed.is_set() or self._lifeline.is_cut

    def _run(self) -> None:
        client: socket.socket | None = None
        try:
            client = self._accepted()
            if client is not None:
                self._carry(client)
        except OSError:
            pass  # one of both is gone, and so the other goes
        finally:
            for one in (self._listener, client, self._upstream):
                if one is not None:
                    one.close()

    def _accepted(self) -> socket.socket | None:
        while not self._is_over:
            if wait_for([self._listener], [])[0]:
                client, _ = self._listener.accept()
                self._listener.close()  # nobody else on this machine comes in
                return client
        return None

    def _carry(self, client: socket.socket) -> None:
        waiting = {client: bytearray(), self._upstream: bytearray()}
        other = {client: self._upstream, self._upstream: client}
        for one in waiting:
            one.setblocking(False)
        is_over = False
        while not self._is_over and not (is_over and not any(waiting.values())):
            reading = [
                one for one in waiting if len(waiting[other[one]]) < _MAX_WAITING_BYTES and not is_over
            ]
            readable, _ = wait_for(reading, [one for one in waiting if waiting[one]])
            for one in readable:
                is_over |= self._take(one, waiting[other[one]])
            for one, content in waiting.items():
                if content:
                    del content[: self._sent(one, content)]

    def _take(self, one: socket.socket, waiting: bytearray) -> bool:
        """Read what has come, and tell whether its end has."""
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            while len(waiting) < _MAX_WAITING_BYTES:
                content = one.recv(2**16)
                if not content:
                    return True
                if one is self._upstream and _REDIRECT.match(content):
                    self._lifeline.cut("it sends on to another address; give that one")
                    return True
                if one is self._upstream:
                    self._lifeline.received(len(content))
                waiting += content
        return False

    def _sent(self, one: socket.socket, waiting: bytearray) -> int:
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
            return one.send(waiting)
        return 0
