"""The pictures of a measurement of speed: made once, and decoded from a real video where PyAV is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from hermes_stream.video.frame import Frame

_BLOCKS = 14
_PICTURES = 64
_PASSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """Pictures that a stream of any length shows over and over.

    Attributes:
        images: uint8 RGB ``[height, width, 3]``, all of one size.
        fps: of the stream's own time, in pictures per second.
        decode_seconds: to decode one picture of the H.264 file, the median over passes; None where nothing
            was decoded.
    """

    images: tuple[NDArray[np.uint8], ...]
    fps: float
    decode_seconds: float | None

    def frames(self, first: int, count: int) -> list[Frame]:
        """Return some pictures of the endless stream.

        Args:
            first: number of the first one, from 0.
            count: how many.
        """
        numbers = range(first, first + count)
        images = self.images
        return [Frame(pts_seconds=k / self.fps, image=images[k % len(images)]) for k in numbers]


def make_footage(*, seed: int, size: int, fps: float) -> Footage:
    """Make pictures; write and decode them where PyAV is installed.

    Args:
        seed: of the pictures.
        size: height and width in pixels, at least 28.
        fps: pictures per second of the stream's time.
    """
    images = tuple(_images(seed, size))
    if find_spec("av") is None:
        return Footage(images=images, fps=fps, decode_seconds=None)
    from hermes_stream.video import FileSource, write_video

    with TemporaryDirectory() as folder:
        path = Path(folder) / "footage.mp4"
        write_video(path, images, fps=fps)
        source, passes = FileSource(path), []
        for _ in range(_PASSES):
            began = time.perf_counter()
            images = tuple(frame.image for frame in source)
            passes.append((time.perf_counter() - began) / len(images))
    return Footage(images=images, fps=fps, decode_seconds=median(passes))


def _images(seed: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks of colour, one of which changes from each picture to the next."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (_BLOCKS, _BLOCKS, 3), dtype=np.uint8)
    place = np.arange(size) * _BLOCKS // size
    for _ in range(_PICTURES):
        blocks[tuple(rng.integers(0, _BLOCKS, 2))] = rng.integers(0, 256, 3)
        yield blocks[place][:, place]
