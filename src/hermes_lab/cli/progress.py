"""How far a long work is, and how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from hermes_stream.cli.output import clock, progress_bar, say


@contextmanager
def video_progress(num_videos: int, *, shows_lines: bool) -> Iterator[Callable[[float], None]]:
    """Give a function that takes the number of videos done, a share of the next one included.

    On a terminal it moves a bar on standard error.

    Args:
        num_videos: how many there are to do; nothing is shown for 0.
        shows_lines: whether it writes a line for each video where there is no terminal.
    """
    if num_videos and shows_lines and not sys.stderr.isatty():
        yield ProgressLines(num_videos)
    elif num_videos:
        with progress_bar("watching", num_videos) as move:
            yield move
    else:
        yield lambda _: None


@final
class ProgressLines:
    """Writes a line for each video that is done, with the time that the others will take at this pace.

    Args:
        num_videos: how many there are to do.
        now: returns the time in seconds.
    """

    def __init__(self, num_videos: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._num_videos, self._now = num_videos, now
        self._began, self._num_done = now(), 0

    def __call__(self, done: float) -> None:
        """Take note of how many are done."""
        if int(done) <= self._num_done:
            return
        self._num_done = int(done)
        left_seconds = (self._now() - self._began) / done * (self._num_videos - done)
        left = f", about {clock(round(left_seconds))} left" if done < self._num_videos else ""
        say(f"hermes: {self._num_done} of {self._num_videos} videos{left}", err=True)
