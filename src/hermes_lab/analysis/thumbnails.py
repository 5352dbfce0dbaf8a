"""Small images of a stream, a bounded number however long it is."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from hermes_stream.video import Frame


@final
class Thumbnails:
    """Keeps every s-th frame in small, s doubling whenever there are too many.

    Args:
        max_frames: frames to hold at most, at least 2.
        pixels: longest side of an image, at most.
    """

    def __init__(self, max_frames: int = 64, pixels: int = 72) -> None:
        self._max_frames, self._pixels = max_frames, pixels
        self._stride, self._num_seen = 1, 0
        self._held: list[Frame] = []

    def __len__(self) -> int:
        """Return how many frames are held."""
        return len(self._held)

    def add(self, frame: Frame) -> None:
        """Take the stream's next frame."""
        if self._num_seen % self._stride == 0:
            image = shrunk(frame.image, self._pixels)
            self._held.append(Frame(pts_seconds=frame.pts_seconds, image=image))
        self._num_seen += 1
        if len(self._held) > self._max_frames:
            self._held, self._stride = self._held[::2], 2 * self._stride

    def of(self, start_seconds: float, end_seconds: float) -> Frame | None:
        """Return the frame of a stretch that is least like the others of the stream, the first of them.

        What was on screen for a moment only is shown, not the empty screen before it. Where no frame of the
        stretch is held, the nearest one stands for it; None if none is held at all.
        """
        own = [frame for frame in self._held if start_seconds <= frame.pts_seconds < end_seconds]
        if own:
            return max(own, key=self._unlikeness)
        middle = (start_seconds + end_seconds) / 2
        return min(self._held, key=lambda frame: abs(frame.pts_seconds - middle), default=None)

    def _unlikeness(self, frame: Frame) -> float:
        alike = [other.image for other in self._held if other.image.shape == frame.image.shape]
        usual = np.median(np.stack(alike), axis=0)
        return float(np.abs(frame.image - usual).mean())


def shrunk(image: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Return an image whose longest side is at most so many pixels: means over squares of whole pixels."""
    height, width = image.shape[:2]
    step = -(-max(height, width) // pixels)
    if step == 1:
        return image.copy()
    height, width = max(height // step, 1), max(width // step, 1)
    cut = image[: height * step, : width * step].astype(np.float32)
    rows = np.add.reduceat(cut, np.arange(0, cut.shape[0], step), axis=0)
    cells = np.add.reduceat(rows, np.arange(0, cut.shape[1], step), axis=1)
    area = (cut.shape[0] / height) * (cut.shape[1] / width)
    return np.rint(cells / area).clip(0, 255).astype(np.uint8)
