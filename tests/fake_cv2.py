"""As much of OpenCV as the examples use, over PyAV and the generated world."""

from __future__ import annotations

import time
from itertools import chain, repeat

import numpy as np

from hermes_stream.synthetic.world import generate_world
from hermes_stream.video import FileSource
from hermes_stream.video.jpeg import encode_jpeg

CAP_PROP_POS_MSEC = 0


class VideoCapture:
    """A file's frames, or those of a camera that never ends and takes a while for each."""

    is_open = False

    def __init__(self, source: str | int) -> None:
        self.is_camera = source == 0
        world = generate_world(0, duration_seconds=20)
        self._frames = (
            chain.from_iterable(repeat(list(world.frames(1)))) if self.is_camera else iter(FileSource(source))
        )
        self._next = next(self._frames, None)
        type(self).is_open = True

    def get(self, prop: int) -> float:
        assert prop == CAP_PROP_POS_MSEC
        return 0.0 if self._next is None else 1000 * self._next.pts_seconds

    def read(self):
        if self.is_camera:
            time.sleep(0.01)
        frame, self._next = self._next, next(self._frames, None)
        return (False, None) if frame is None else (True, frame.image[..., ::-1])

    def release(self) -> None:
        type(self).is_open = False


def imencode(kind: str, image):
    """Return whether that worked, and the file as an array."""
    assert kind == ".jpg"
    return True, np.frombuffer(encode_jpeg(np.ascontiguousarray(image[..., ::-1])), dtype=np.uint8)
