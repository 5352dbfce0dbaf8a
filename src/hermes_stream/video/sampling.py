"""Sampling by time: what is on screen at regular instants.

Works on anything that carries a time and a duration, so that a source can sample pictures before it has
converted them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol, TypeVar

from hermes_stream.video.frame import Frame

MAX_FILLED_SECONDS = 60.0
"""The longest that one picture is repeated; a longer gap is left empty after that."""
MAX_FRAMES_PER_PICTURE = 3600
"""How often one picture is repeated at most, however high the rate."""
MAX_FPS = 100_000

# Containers round times to as little as 1 ms, both where a picture starts and how long it lasts.
_ROUNDING_SECONDS = 0.0015


class Timed(Protocol):
    """Anything shown at a moment for some time."""

    @property
    def pts_seconds(self) -> float:
        """When it is shown first, in seconds."""

    @property
    def duration_seconds(self) -> float:
        """How long it is shown, in seconds, 0 when unknown."""


T = TypeVar("T", bound=Timed)


def sample_frames(frames: Iterable[Frame], *, fps: float) -> Iterator[Frame]:
    """Yield the frame on screen at ``start + k / fps``, for every such instant before the end.

    ``pts_seconds`` of what is yielded is the instant and ``duration_seconds`` is ``1 / fps``. So times
    increase strictly even where one picture stays on screen for several instants and is yielded several
    times; those frames share one image array. A frame that stays for longer than 60 s is repeated for 60 s,
    or 3600 times, and nothing is yielded until the next one: a few bytes of a file may claim years. Holds one
    frame, whatever the length.

    Args:
        frames: frames with strictly increasing ``pts_seconds``, at any rate, even or uneven.
        fps: instants per second, above 0, at most 100000.

    Returns:
        An iterator of ``ceil(duration * fps)`` frames where no gap is too long to be filled, at least one
        unless ``frames`` is empty.

    Raises:
        ValueError: ``fps`` is no such rate, or times do not increase.
    """
    step_seconds = 1 / checked_fps(fps)
    return (
        replace(frame, pts_seconds=instant_seconds, duration_seconds=step_seconds)
        for instant_seconds, frame in on_screen(frames, fps=fps)
    )


def on_screen(items: Iterable[T], *, fps: float) -> Iterator[tuple[float, T]]:
    """Yield ``(instant, item on screen)`` for every instant ``start + k / fps`` before the end.

    The end is the last item's time plus its duration, or plus the gap before it where it has none. An instant
    within rounding of a change belongs to what comes after it. What stays longer than ``MAX_FILLED_SECONDS``
    is yielded for that long, at most ``MAX_FRAMES_PER_PICTURE`` times.

    Args:
        items: items with strictly increasing ``pts_seconds``.
        fps: instants per second, above 0, at most 100000.

    Raises:
        ValueError: ``fps`` is no such rate, or times do not increase.
    """
    checked_fps(fps)
    current: T | None = None
    gap_seconds = 0.0
    for item in items:
        if current is None:
            grid = _Grid(item.pts_seconds, fps=fps)
        else:
            gap_seconds = _gap_seconds(current, item)
            for instant in grid.instants(current.pts_seconds, stays_seconds=gap_seconds):
                yield instant, current
        current = item
    if current is None:
        return
    last_seconds = current.duration_seconds if current.duration_seconds > 0 else gap_seconds
    for instant in grid.instants(current.pts_seconds, stays_seconds=last_seconds):
        yield instant, current
    if grid.num_passed == 0:
        yield grid.start_seconds, current


def checked_fps(fps: float) -> float:
    """Return ``fps`` if it is a rate that pictures can be sampled or written at.

    Raises:
        ValueError: it is not above 0, or above 100000.
    """
    if not 0 < fps <= MAX_FPS:
        raise ValueError(
            f"fps is {fps}; it must be a finite number above 0, at most {MAX_FPS}, such as 1.0 or 0.5"
        )
    return fps


class _Grid:
    """The instants ``start + k / fps``, each passed once.

    Attributes:
        start_seconds: the first instant.
        num_passed: how many lie before what is on screen next.
    """

    def __init__(self, start_seconds: float, *, fps: float) -> None:
        self.start_seconds = start_seconds
        self.num_passed = 0
        self._fps = fps

    def instants(self, pts_seconds: float, *, stays_seconds: float) -> Iterator[float]:
        """Yield the instants of one item, as many as it may fill, and pass the rest.

        Args:
            pts_seconds: when the item is shown first.
            stays_seconds: how long.
        """
        until_seconds = pts_seconds + stays_seconds - min(_ROUNDING_SECONDS, stays_seconds / 4)
        filled_seconds = min(until_seconds, pts_seconds + MAX_FILLED_SECONDS)
        for _ in range(MAX_FRAMES_PER_PICTURE):
            if self._next_seconds >= filled_seconds:
                break
            yield self._next_seconds
            self.num_passed += 1
        # Computed, since what is left may be a million instants; then stepped, since the division rounds.
        self.num_passed = max(self.num_passed, math.floor((until_seconds - self.start_seconds) * self._fps))
        while self._next_seconds < until_seconds:
            self.num_passed += 1

    @property
    def _next_seconds(self) -> float:
        return self.start_seconds + self.num_passed / self._fps


def _gap_seconds(earlier: Timed, later: Timed) -> float:
    gap_seconds = later.pts_seconds - earlier.pts_seconds
    if not gap_seconds > 0:
        raise ValueError(
            f"a frame at {later.pts_seconds} s follows one at {earlier.pts_seconds} s; times must increase "
            "strictly: sort the frames or drop the late one"
        )
    return gap_seconds
