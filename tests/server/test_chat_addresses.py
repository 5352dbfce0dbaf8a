"""Pictures of a chat that lie at an address: they keep nobody up, and why one cannot be read is told."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.server.served import Served, jpeg, serving
from tests.server.test_leaving import send, wait_until

from hermes_stream.server import ServerSettings

ALLOWED = {"allow_sources": ("http://*:*/*",), "private_networks": ("127.0.0.1/32",)}
PASSWORD = "plum-tree-4711"


class Drips(BaseHTTPRequestHandler):
    """A camera that begins a picture and sends a byte of it now and then; or knows nothing."""

    def do_GET(self) -> None:
        if self.path != "/drip":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.end_headers()
        self.server.num_open += 1
        try:
            while not self.server.is_over.wait(0.1):
                self.wfile.write(b"\xff")
        except OSError:
            pass
        self.server.num_open -= 1

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def camera():
    with ThreadingHTTPServer(("127.0.0.1", 0), Drips) as server:
        server.num_open, server.is_over = 0, threading.Event()
        running = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        running.start()
        yield server
        server.is_over.set()
        server.shutdown()
        running.join()


@pytest.fixture(scope="module")
def allowing(tiny, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("service"), ServerSettings(port=0, **ALLOWED), model=tiny) as one:
        yield one


def asking(url: str, **more: object) -> dict:
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what is it?"}]
    return {"model": "tiny", "messages": [{"role": "user", "content": content}], **more}


def drip(camera) -> str:
    return f"http://127.0.0.1:{camera.server_port}/drip"


@pytest.mark.parametrize("stream", [True, False])
def test_a_picture_that_drips_is_left_with_its_client(allowing, camera, stream):
    left = [send(allowing, "/v1/chat/completions", asking(drip(camera), stream=stream)) for _ in range(4)]
    wait_until(lambda: camera.num_open == 2, 20)  # the others wait for a thread
    for connection in left:
        connection.close()
    shown = f"data:image/jpeg;base64,{base64.b64encode(jpeg(1)).decode()}"
    began = time.monotonic()
    assert allowing.http.post("/v1/chat/completions", json=asking(shown)).status_code == 200
    assert time.monotonic() - began < 10
    wait_until(lambda: camera.num_open == 0, 10)


def test_a_server_that_ends_leaves_a_picture_that_drips(tiny, tmp_path, camera):
    before = set(threading.enumerate())
    with serving(tmp_path, ServerSettings(port=0, shutdown_seconds=1, **ALLOWED), model=tiny) as one:
        connection = send(one, "/v1/chat/completions", asking(drip(camera)))
        wait_until(lambda: camera.num_open == 1, 20)
    wait_until(lambda: not [t for t in set(threading.enumerate()) - before if "media" in t.name], 10)
    connection.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def told(served: Served, address: str) -> str:
    refused = served.http.post("/v1/chat/completions", json=asking(address))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_video"), refused.text
    assert PASSWORD not in json.dumps(refused.json())
    return refused.json()["error"]["message"]


def test_why_an_address_cannot_be_read_is_told(allowing, camera):
    where = f"gardener:{PASSWORD}@127.0.0.1"
    assert "answers 404: it knows no such path" in told(allowing, f"http://{where}:{camera.server_port}/no")
    assert "Connection refused" in told(allowing, f"http://{where}:{free_port()}/a.jpg")
    assert "private_networks" in told(allowing, f"http://{where.replace('0.0.1', '0.0.2')}:80/a.jpg")
