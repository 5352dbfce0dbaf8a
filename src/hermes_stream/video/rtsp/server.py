"""The server: one thread for all clients, one for each path that is played."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
from collections.abc import Coroutine
from typing import Any, final

from hermes_stream.errors import VideoError
from hermes_stream.video.rtsp.broadcast import Broadcast, Pictures
from hermes_stream.video.rtsp.connection import Connection
from hermes_stream.video.rtsp.packets import ENCODINGS, Burst, Codec
from hermes_stream.video.sampling import checked_fps

_MAX_CLIENTS = 256


@final
class RtspServer:
    """Plays frames or files over RTSP, over TCP and UDP, to many clients; a context manager.

    Clients join at a key frame. One that does not keep up misses pictures. At the end of what is played they
    are cut off, as when a camera dies.

    Args:
        host: address to listen at.
        port: to listen at, 0 for a free one.
        credentials: user name and password that clients must know, None for none.
        loss: share of RTP packets that are lost on the way, 0 to 1, for tests.
        seed: of what is lost.

    Raises:
        VideoError: nobody can listen there.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        credentials: tuple[str, str] | None = None,
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._host, self._credentials = host, credentials
        self._loss, self._lots = loss, random.Random(seed)
        self._broadcasts: dict[str, Broadcast] = {}
        self._connections: set[Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listening = socket.create_server((host, port), family=family)
        except OSError as error:
            raise VideoError(
                f"nobody can listen at {host}:{port} ({error.strerror}); choose another port, or 0"
            ) from error
        self._listening.setblocking(False)
        self.port: int = self._listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rtsp-server")
        self._thread.start()
        self._is_closed = False
        self._call(self._loop.add_reader, self._listening, self._accept)

    def add(
        self,
        path: str,
        pictures: Pictures | str | os.PathLike[str],
        *,
        fps: float = 25.0,
        codec: Codec = "h264",
        key_frame_seconds: float = 1.0,
        repeat: bool = False,
        waits: bool = False,
    ) -> str:
        """Play something and return its address.

        Args:
            path: of the address.
            pictures: frames, shown at their own times from the first on; images, at ``fps``; or the path of
                 an H.264, H.265 or MJPEG file, sent as it is encoded.
            fps: pictures per second.
            codec: to encode with.
            key_frame_seconds: from one key frame to the next.
            repeat: begin again at the end; then ``pictures`` must be iterable again.
            waits: begin when the first client plays, so that nothing is missed.

        Raises:
            ValueError: an argument is not as described.
            VideoError: the file cannot be played.
        """
        if codec not in ENCODINGS:
            raise ValueError(f"codec is {codec!r}; accepted: {', '.join(ENCODINGS)}")
        if path.strip("/") in self._broadcasts:
            raise ValueError(f"path {path!r} is played already; choose another")
        broadcast = Broadcast(
            pictures,
            fps=checked_fps(fps),
            codec=codec,
            key_frame_seconds=key_frame_seconds,
            repeat=repeat,
            waits=waits,
        )
        self._broadcasts[path.strip("/")] = broadcast
        broadcast.start(
            give=lambda burst: self._call(self._send, broadcast, burst),
            end=lambda: self._call(self._cut_off, broadcast),
        )
        return self.url(path)

    def url(self, path: str) -> str:
        """Return the address of a path, without credentials."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"rtsp://{host}:{self.port}/{path.strip('/')}"

    def freeze(self, is_frozen: bool = True) -> None:
        """Send no pictures while clients stay connected, or send them again."""
        for broadcast in self._broadcasts.values():
            broadcast.is_frozen = is_frozen

    def cut_off(self) -> None:
        """Cut all clients off; they may come again."""
        self._call(self._cut_off, None)

    @property
    def num_clients(self) -> int:
        """Clients that are playing."""
        return sum(connection.playing is not None for connection in list(self._connections))

    def close(self) -> None:
        """Cut all clients off and stop; no thread or port is left."""
        if self._is_closed:
            return
        self._is_closed = True
        self._do(self._close())
        for broadcast in self._broadcasts.values():
            broadcast.stop()
        self._end_loop()

    def __enter__(self) -> RtspServer:
        """Return the server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _accept(self) -> None:
        # By hand: asyncio's own server forgets, open, a client that comes while it closes.
        try:
            accepted, _ = self._listening.accept()
        except OSError:
            return  # it has left again
        accepted.setblocking(False)
        task = self._loop.create_task(self._serve(accepted))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted)
        connection = Connection(
            reader,
            writer,
            find=self._find,
            credentials=self._credentials,
            loses=lambda: self._loss > 0 and self._lots.random() < self._loss,
        )
        if self._is_closed or len(self._connections) >= _MAX_CLIENTS:
            connection.close()
            return
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    def _find(self, path: str) -> Broadcast | None:
        return self._broadcasts.get(path) or self._broadcasts.get(path.rpartition("/")[0])

    def _send(self, broadcast: Broadcast, burst: Burst) -> None:
        for connection in list(self._connections):
            if connection.playing is broadcast:
                connection.send(burst)

    def _cut_off(self, broadcast: Broadcast | None) -> None:
        for connection in list(self._connections):
            if broadcast is None or connection.playing is broadcast:
                connection.close()

    async def _close(self) -> None:
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self._cut_off(None)
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # transports close their sockets in the loop's next turn

    def _call(self, function: Any, *arguments: object) -> None:
        if not self._is_closed:
            self._loop.call_soon_threadsafe(function, *arguments)

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
