"""A server on a real socket, over a real service with the embedded model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from hermes_stream.server import Server, ServerSettings
from hermes_stream.service import Service, ServiceSettings
from hermes_stream.video.jpeg import encode_jpeg

SIZE = 128


class Served:
    """What tests talk to."""

    def __init__(self, service: Service, server: Server, url: str) -> None:
        self.service, self.server, self.url = service, server, url
        self.http = httpx.Client(base_url=url, timeout=60, verify=False)

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    def open_watched(self, name: str, num_frames: int = 4, **options: Any) -> None:
        """Open a stream that has seen pictures."""
        opened = self.http.post("/v1/streams", json={"name": name, **options})
        assert opened.status_code == 201, opened.text
        for second in range(num_frames):
            self.push(name, second)

    def push(self, name: str, second: int) -> None:
        """Push the picture of a second of a stream."""
        pushed = self.http.post(
            f"/v1/streams/{name}/frames",
            params={"pts_us": second * 1_000_000},
            content=jpeg(second),
            headers={"Content-Type": "image/jpeg"},
        )
        assert pushed.status_code == 200, pushed.text


def picture(number: int = 0) -> np.ndarray:
    """A red square that moves over grey."""
    image = np.full((SIZE, SIZE, 3), 128, np.uint8)
    left = (number * 17) % (SIZE - 40)
    image[30:70, left : left + 40] = (220, 20, 20)
    return image


def jpeg(number: int = 0) -> bytes:
    return encode_jpeg(picture(number))


@contextmanager
def serving(
    folder: Path, settings: ServerSettings | None = None, *, model: Any = "tiny", **options: Any
) -> Iterator[Served]:
    """Lend a server with a service behind it."""
    with (
        Service(model, folder, settings=ServiceSettings(**options)) as service,
        listening(service, settings) as one,
    ):
        yield one


@contextmanager
def listening(service: Service, settings: ServerSettings | None = None) -> Iterator[Served]:
    """Lend a server over a service that is there."""
    server, before = Server(service, settings or ServerSettings(port=0)), set(threading.enumerate())
    with server.listening(within_seconds=20) as url:
        one = Served(service, server, url)
        with one.http:
            yield one
    assert not any(one.name == "server" for one in set(threading.enumerate()) - before)
