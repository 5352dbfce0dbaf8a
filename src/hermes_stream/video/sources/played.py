"""A file played as a source: at its own pace, as a camera would send it, or as fast as it is read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import final

from hermes_stream.errors import VideoError
from hermes_stream.video.frame import Frame
from hermes_stream.video.paths import readable
from hermes_stream.video.sources.file import FileSource
from hermes_stream.video.sources.options import SourceOptions
from hermes_stream.video.sources.source import (
    SourceEvent,
    SourceEventKind,
    SourceState,
    SourceStats,
    Tally,
)

_STEP_SECONDS = 0.04


@final
class PlayedFile:
    """A ``Source`` of a video file; its stream's clock is 0 at the first picture.

    Args:
        path: a local file.
        options: how it is read.

    Raises:
        VideoError: the file is missing, no video, or damaged before its first picture.
    """

    def __init__(self, path: str | os.PathLike[str], options: SourceOptions | None = None) -> None:
        self._options = options or SourceOptions()
        self._framing = self._options.framing
        self._file = FileSource(
            path,
            fps=self._options.fps,
            max_pixels=self._options.max_pixels,
            max_image_pixels=self._framing.pixels_before(self._options.max_image_pixels),
        )
        self._stopped = threading.Event()
        self._tally = Tally(readable(path))
        self._tally.set(
            declared_fps=self._file.fps_native,
            codec=self._file.codec,
            width=self._file.width,
            height=self._file.height,
        )

    @property
    def stats(self) -> SourceStats:
        """What is known of the source now."""
        return self._tally.stats

    def stop(self) -> None:
        """Make ``read`` end within a second, from any thread."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames alone."""
        return (item for item in self.read() if isinstance(item, Frame))

    def read(self) -> Iterator[Frame | SourceEvent]:
        """Yield the frames at their pace, after the event ``opened`` and before ``ended`` or ``failed``."""
        base_seconds = self._start_clock()
        self._tally.set(state=SourceState.LIVE, reason="")
        yield self._tally.event(SourceEventKind.OPENED, self._described(), pts_seconds=base_seconds)
        began = time.monotonic()
        try:
            with closing(iter(self._file)) as frames:  # type: ignore[type-var]
                for frame in frames:
                    seconds = frame.pts_seconds - self._file.start_seconds
                    if self._options.pace == "own":
                        self._stopped.wait(max(0.0, began + seconds - time.monotonic()))
                    if self._stopped.is_set():
                        break
                    self._tally.picture_came(base_seconds + seconds)
                    self._tally.count(num_frames=1)
                    image = self._framing.apply(frame.image)
                    yield replace(frame, pts_seconds=base_seconds + seconds, image=image)
        except VideoError as error:
            self._tally.set(state=SourceState.FAILED, reason=str(error))
            yield self._tally.event(SourceEventKind.FAILED, str(error))
            return
        finally:
            if self._tally.stats.state is SourceState.LIVE:
                self._tally.set(state=SourceState.ENDED, reason=self._ending())
        if not self._stopped.is_set():
            yield self._tally.event(SourceEventKind.ENDED, self._ending())

    def _start_clock(self) -> float:
        """Return the stream's time of the first picture, and note when its zero was."""
        now, point = time.time(), self._options.goes_on
        if point is None:
            self._tally.set(zero_wall_seconds=now)
            return 0.0
        self._tally.set(zero_wall_seconds=point.zero_wall_seconds)
        passed_seconds = now - point.zero_wall_seconds if self._options.pace == "own" else 0.0
        return max(point.newest_seconds + _STEP_SECONDS, passed_seconds)

    def _described(self) -> str:
        return f"{self._file.codec}, {self._file.width} x {self._file.height}"

    def _ending(self) -> str:
        if self._stopped.is_set():
            return "stopped"
        return f"the file is damaged: {self._file.damage}" if self._file.damage else "the file has ended"
