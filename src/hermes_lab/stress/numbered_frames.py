"""Frames whose picture follows from stream and number, and a client that pushes them as a camera would."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from functools import lru_cache
from threading import Event, Thread

import numpy as np
from numpy.typing import NDArray

from hermes_stream.client import Client
from hermes_stream.errors import HermesError
from hermes_stream.video.frame import Frame
from hermes_stream.video.jpeg import encode_jpeg
from hermes_stream.video.picture import decode_picture

_SIDE = 48
_CALL_SECONDS = 10.0


@lru_cache(maxsize=4096)
def encoded_picture(stream: int, number: int) -> bytes:
    """Return the JPEG of a frame."""
    return encode_jpeg(picture(stream, number))


def picture(stream: int, number: int) -> NDArray[np.uint8]:
    """Return the pixels of a frame; every third shows what the one before showed."""
    rng = np.random.default_rng((stream, number - (number % 3 == 2)))
    blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return blocks.repeat(_SIDE // 4, axis=0).repeat(_SIDE // 4, axis=1)


def numbered_frame(stream: int, number: int, fps: float) -> Frame:
    """Return a frame as the server decodes it, at its time."""
    return Frame(pts_seconds=number / fps, image=decode_picture(encoded_picture(stream, number)))


class LiveClient:
    """Pushes frames to streams at a rate, whether anyone takes them or not: what is not taken is gone.

    Args:
        url: of the server.
        names: of the streams, which are there already or come soon.
        fps: frames of a stream per second; frame k is of the time ``k / fps``.

    Attributes:
        num_refused: frames that the server refused in words.
        num_dropped: frames that it said were pushed out.
    """

    def __init__(self, url: str, names: Sequence[str], fps: float) -> None:
        self._url, self._names, self._fps = url, names, fps
        self._acknowledged: dict[str, deque[tuple[int, float]]] = defaultdict(deque)
        self.num_refused = self.num_dropped = 0
        self._over = Event()
        self._thread = Thread(target=self._run, name="pushing")
        self._thread.start()

    def take_acknowledged(self, name: str, *, until: float = math.inf) -> list[tuple[int, float]]:
        """Return frames that were acknowledged since this was asked last, and when, in seconds since 1970.

        Args:
            name: of the stream.
            until: leave those that came later for the next time.
        """
        waiting, taken = self._acknowledged[name], []
        while waiting and waiting[0][1] <= until:
            taken.append(waiting.popleft())
        return taken

    def stop(self) -> None:
        """Push no more; safe to repeat."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began, turn = time.monotonic(), 0
        with Client(self._url, timeout_seconds=_CALL_SECONDS) as client:
            while not self._over.is_set():
                number, stream = divmod(turn, len(self._names))
                due = began + turn / (len(self._names) * self._fps)
                self._over.wait(max(0.0, due - time.monotonic()))
                self._push(client, stream, number)
                turn += 1

    def _push(self, client: Client, stream: int, number: int) -> None:
        name = self._names[stream]
        try:
            receipt = client.push(name, encoded_picture(stream, number), number / self._fps)
        except (HermesError, ValueError):
            self.num_refused += 1  # there is no server now, or it says why not
            return
        self.num_dropped += receipt.num_dropped
        if receipt.num_accepted:
            self._acknowledged[name].append((number, time.time()))
