"""Real servers on the loopback that live sources are read from: HTTP, MPEG-TS over TCP and UDP."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
from tests.video.clips import greys

REALM = "cam"


def endless(count: int = 10**6, *, height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    """Flat pictures that go from dark to light every 24."""
    flat = greys(24, height=height, width=width)
    return (flat[k % 24] for k in range(count))


def ts_pieces(images, *, fps: float, start: int = 0, gop: int = 5) -> list[bytes]:
    """MPEG-TS of each image, so that a server can send them at their times."""
    out, pieces = io.BytesIO(), []
    with av.open(out, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        stream = container.add_stream(
            "libx264",
            rate=Fraction(fps),
            options={"tune": "zerolatency", "preset": "ultrafast", "g": str(gop), "threads": "1"},
        )
        for index, image in enumerate(images):
            if index == 0:
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = start + index, 1 / Fraction(fps)
            container.mux(stream.encode(picture))
            pieces.append(out.getvalue())
            out.seek(0)
            out.truncate()
        container.mux(stream.encode(None))
    pieces.append(out.getvalue())
    return pieces


def jpeg(image) -> bytes:
    coder = av.CodecContext.create("mjpeg", "w")
    coder.width, coder.height, coder.pix_fmt = image.shape[1], image.shape[0], "yuvj420p"
    coder.time_base = Fraction(1, 25)
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj420p")
    return bytes(coder.encode(picture)[0])


class WebServer(ThreadingHTTPServer):
    """Serves routes: functions of a request that write an answer."""

    daemon_threads = True

    def __init__(self, routes, *, credentials=None, digest=False):
        self.routes, self.credentials, self.digest = routes, credentials, digest
        self.requests, self.is_over = [], threading.Event()
        super().__init__(("127.0.0.1", 0), _Requests)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()

    def url(self, path: str, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, request, client_address):
        """Clients leave in the middle: nothing to tell."""

    def __exit__(self, *_):
        self.is_over.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append(self.path)
        if server.credentials and not self._is_known():
            kind = (
                f'Digest realm="{REALM}", nonce="n", qop="auth"'
                if server.digest
                else f'Basic realm="{REALM}"'
            )
            self.send_response(401)
            self.send_header("WWW-Authenticate", kind)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        route = server.routes.get(self.path.partition("?")[0].strip("/"))
        if route is None:
            self.send_error(404)
        else:
            route(self)

    def _is_known(self) -> bool:
        user, password = self.server.credentials
        given = self.headers.get("Authorization", "")
        if not self.server.digest:
            return given == "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
        secret, asked = _md5(f"{user}:{REALM}:{password}"), _md5(f"GET:{said.get('uri')}")
        middle = f"{said.get('nonce')}:{said.get('nc')}:{said.get('cnonce')}:auth"
        return said.get("response") == _md5(f"{secret}:{middle}:{asked}")

    def begin(self, content_type: str, length: int | None = None, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Connection" if length is None else "Content-Length", str(length or "close"))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def mjpeg(images, *, fps: float):
    """A route that shows pictures as cameras with a page do."""

    def route(request):
        request.begin("multipart/x-mixed-replace; boundary=frame")
        for image in images():
            content = jpeg(image)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            request.wfile.write(head.encode() + content + b"\r\n")
            if request.server.is_over.wait(1 / fps):
                return

    return route


def transport_stream(images, *, fps: float):
    """A route that sends MPEG-TS without an end."""

    def route(request):
        request.begin("video/mp2t")
        for piece in ts_pieces(images(), fps=fps):
            request.wfile.write(piece)
            if request.server.is_over.wait(1 / fps):
                return

    return route


def body(content: bytes, content_type: str):
    """A route that sends some bytes."""

    def route(request):
        request.begin(content_type, len(content))
        request.wfile.write(content)

    return route


def sends_on(location: str):
    """A route that sends to another address."""

    def route(request):
        request.send_response(302)
        request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return route


def playlist(*, piece_seconds: float, fps: float = 10, num_held: int = 3, header: str = ""):
    """Routes of a live playlist whose pieces come at their times."""
    began = time.monotonic()
    per_piece = round(piece_seconds * fps)

    def listing(request):
        newest = int((time.monotonic() - began) / piece_seconds) + num_held
        numbers = range(newest - num_held + 1, newest + 1)
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{numbers[0]}"]
        for number in numbers:
            lines += [f"#EXTINF:{piece_seconds},", f"piece/{number}.ts"]
        body("\n".join([*lines, header]).encode(), "application/vnd.apple.mpegurl")(request)

    class Pieces(dict):
        def get(self, path, default=None):
            if match := re.fullmatch(r"piece/(\d+)\.ts", path):
                number = int(match[1])
                images = [greys(24)[(number * per_piece + k) % 24] for k in range(per_piece)]
                pieces = ts_pieces(images, fps=fps, start=number * per_piece)
                return body(b"".join(pieces), "video/mp2t")
            return super().get(path, default)

    return Pieces({"live.m3u8": listing})


@contextmanager
def ts_over_tcp(images, *, fps: float):
    """A server that sends MPEG-TS, of images or as it is, to each client; yields its address."""
    stopped = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def serve():
        while not stopped.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            with client:
                _paced(client.sendall, images, fps=fps, stopped=stopped)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        thread.join()
        listener.close()


@contextmanager
def ts_over_udp(images, *, fps: float, group: str = "127.0.0.1"):
    """A sender of MPEG-TS datagrams; yields the address to listen at."""
    stopped = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def send(content):
        for start in range(0, len(content), 1316):
            sender.sendto(content[start : start + 1316], (group, port))

    thread = threading.Thread(target=_paced, args=(send, images), kwargs={"fps": fps, "stopped": stopped})
    thread.start()
    try:
        yield f"udp://{group}:{port}"
    finally:
        stopped.set()
        thread.join()
        sender.close()


def _paced(send, images, *, fps, stopped):
    for piece in images if isinstance(images, list) else ts_pieces(images(), fps=fps):
        if stopped.is_set():
            return
        try:
            send(piece)
        except OSError:
            return
        stopped.wait(1 / fps)


def open_things() -> tuple[int, int]:
    """Threads and descriptors that are there now."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def nothing_more_than(before: tuple[int, int]) -> bool:
    """Whether what is open is what was, or is within a second: servers' threads take a moment."""
    deadline = time.monotonic() + 1
    while open_things() != before and time.monotonic() < deadline:
        time.sleep(0.02)
    return open_things() == before
