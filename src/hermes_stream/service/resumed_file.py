"""A file at its own pace that goes on where a stream was, after a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event
from typing import final

from hermes_stream.video.frame import Frame
from hermes_stream.video.sources.source import Source, SourceEvent, SourceStats


@final
class ResumedFile:
    """A ``Source`` that passes over what a stream has of a file, and plays the rest at the file's pace.

    Args:
        file: read as fast as it goes, its clock 0 at its first picture.
        newest_seconds: time of the newest frame that the stream has.
    """

    def __init__(self, file: Source, newest_seconds: float) -> None:
        self._file, self._newest_seconds = file, newest_seconds
        self._stopped = Event()

    @property
    def stats(self) -> SourceStats:
        """What is known of the file now."""
        return self._file.stats

    def read(self) -> Iterator[Frame | SourceEvent]:
        """Yield the rest of the frames at their pace, and all events."""
        zero: float | None = None
        with closing(self._file.read()) as items:  # type: ignore[type-var]  # a generator
            for item in items:
                if isinstance(item, Frame):
                    if item.pts_seconds <= self._newest_seconds:
                        continue
                    zero = time.monotonic() - item.pts_seconds if zero is None else zero
                    self._stopped.wait(max(0.0, zero + item.pts_seconds - time.monotonic()))
                if self._stopped.is_set():
                    return
                yield item

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames alone."""
        return (item for item in self.read() if isinstance(item, Frame))

    def stop(self) -> None:
        """Make ``read`` end, from any thread."""
        self._stopped.set()
        self._file.stop()
