"""How far a long work is, and how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

import typer

from hermes_stream.cli.output import clock


@contextmanager
def pacing(num_videos: int) -> Iterator[Callable[[float], None]]:
    """Give a function that is told how many videos are done, a share of the next one included.

    On a terminal it moves a bar on standard error, elsewhere it writes a line for each video.

    Args:
        num_videos: how many there are to do; nothing is shown for 0.
    """
    if not num_videos:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield Lines(num_videos)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("watching"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=3600) as bar:
        task = bar.add_task("watching", total=num_videos)
        yield lambda done: bar.update(task, completed=done)


@final
class Lines:
    """Writes a line for each video that is done, with the time that the others will take at this pace.

    Args:
        num_videos: how many there are to do.
        now: tells the time in seconds.
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
        typer.echo(f"hermes: {self._num_done} of {self._num_videos} videos{left}", err=True)
