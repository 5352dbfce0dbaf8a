"""One path of the server: pictures made once, at their pace, for all who listen."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import final

import numpy as np
from numpy.typing import NDArray

from hermes_stream.video.frame import Frame
from hermes_stream.video.rtsp.file_packets import FilePackets
from hermes_stream.video.rtsp.packets import CLOCK_RATE, Burst, Codec, Packetizer

Pictures = Iterable[Frame | NDArray[np.uint8]]


@final
class Broadcast:
    """Plays pictures in a thread of its own and gives each one's packets on.

    Args:
        pictures: frames, shown at their own times from the first on, images at ``fps``, or a file's path.
        fps: pictures per second.
        codec: to encode with; a file stays as it is encoded.
        key_frame_seconds: from one key frame to the next.
        repeat: begin again at the end; pictures must be iterable again.
        waits: begin when ``begin`` is called.

    Attributes:
        is_frozen: tells it to send nothing while the pictures go on.
    """

    def __init__(
        self,
        pictures: Pictures | str | os.PathLike[str],
        *,
        fps: float,
        codec: Codec,
        key_frame_seconds: float,
        repeat: bool,
        waits: bool,
    ) -> None:
        self._file = FilePackets.of(pictures) if isinstance(pictures, str | os.PathLike) else None
        self._pictures: Pictures = [] if isinstance(pictures, str | os.PathLike) else pictures
        self._fps = fps if self._file is None else self._file.fps
        self.packetizer = Packetizer(
            codec if self._file is None else self._file.codec,
            fps=self._fps,
            key_frame_every=max(1, round(key_frame_seconds * self._fps)),
        )
        self.is_frozen = False
        self.newest_ticks = 0
        self._repeat = repeat
        self._may_begin, self._stopped = threading.Event(), threading.Event()
        if not waits:
            self._may_begin.set()
        self._thread: threading.Thread | None = None

    @property
    def fps(self) -> float:
        """Pictures per second."""
        return self._fps

    def start(self, *, give: Callable[[Burst], None], end: Callable[[], None]) -> None:
        """Play.

        Args:
            give: is called with the packets of each picture, in the broadcast's thread.
            end: is called when there are no more.
        """
        self._thread = threading.Thread(target=self._play, args=(give, end), name="rtsp-broadcast")
        self._thread.start()

    def begin(self) -> None:
        """Let it begin, if it waits: somebody listens."""
        self._may_begin.set()

    def stop(self) -> None:
        """End it and wait for its thread."""
        self._stopped.set()
        self._may_begin.set()
        if self._thread is not None:
            self._thread.join()

    def _play(self, give: Callable[[Burst], None], end: Callable[[], None]) -> None:
        self._may_begin.wait()
        began = time.monotonic()
        try:
            for ticks, burst in self._bursts():
                if self._stopped.wait(max(0.0, began + ticks / CLOCK_RATE - time.monotonic())):
                    return
                self.newest_ticks = ticks
                if not self.is_frozen:
                    give(burst)
            end()
        finally:
            self.packetizer.close()

    def _bursts(self) -> Iterator[tuple[int, Burst]]:
        start_ticks = 0
        step_ticks = round(CLOCK_RATE / self._fps)
        while True:
            ticks = start_ticks
            for ticks, burst in self._once(start_ticks):
                yield ticks, burst
            if not self._repeat or ticks == start_ticks:
                return
            start_ticks = ticks + step_ticks

    def _once(self, start_ticks: int) -> Iterator[tuple[int, Burst]]:
        if self._file is not None:
            yield from self._file.bursts(self.packetizer, start_ticks=start_ticks)
            return
        first_seconds: float | None = None
        for index, picture in enumerate(self._pictures):
            if isinstance(picture, Frame):
                first_seconds = picture.pts_seconds if first_seconds is None else first_seconds
                seconds, image = picture.pts_seconds - first_seconds, picture.image
            else:
                seconds, image = index / self._fps, picture
            ticks = start_ticks + round(seconds * CLOCK_RATE)
            yield ticks, self.packetizer.encode(image, ticks)
