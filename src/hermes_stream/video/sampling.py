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
    times; those frames share one image array. Holds one frame, whatever the length.

    Args:
        frames: frames with strictly increasing ``pts_seconds``, at any rate, even or uneven.
        fps: instants per second, finite and above 0.

    Returns:
        An iterator of ``ceil(duration * fps)`` frames, at least one unless ``frames`` is empty.

    Raises:
        ValueError: ``fps`` is not finite and above 0, or times do not increase.
    """
    step_seconds = 1 / checked_fps(fps)
    return (
        replace(frame, pts_seconds=instant_seconds, duration_seconds=step_seconds)
        for instant_seconds, frame in on_screen(frames, fps=fps)
    )


def on_screen(items: Iterable[T], *, fps: float) -> Iterator[tuple[float, T]]:
    """Yield ``(instant, item on screen)`` for every instant ``start + k / fps`` before the end.

    The end is the last item's time plus its duration, or plus the gap before it where it has none. An instant
    within rounding of a change belongs to what comes after it.

    Args:
        items: items with strictly increasing ``pts_seconds``.
        fps: instants per second, finite and above 0.

    Raises:
        ValueError: ``fps`` is not finite and above 0, or times do not increase.
    """
    checked_fps(fps)
    current: T | None = None
    start_seconds = gap_seconds = 0.0
    num_instants = 0
    for item in items:
        if current is None:
            start_seconds = item.pts_seconds
        else:
            gap_seconds = _gap_seconds(current, item)
            until = current.pts_seconds + gap_seconds - _slack_seconds(gap_seconds)
            while (instant := start_seconds + num_instants / fps) < until:
                yield instant, current
                num_instants += 1
        current = item
    if current is None:
        return
    last_seconds = current.duration_seconds if current.duration_seconds > 0 else gap_seconds
    until = current.pts_seconds + last_seconds - _slack_seconds(last_seconds)
    while (instant := start_seconds + num_instants / fps) < until or num_instants == 0:
        yield instant, current
        num_instants += 1


def checked_fps(fps: float) -> float:
    """Return ``fps`` if it is a rate that pictures can be sampled or written at.

    Raises:
        ValueError: it is not finite and above 0.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; it must be a finite number above 0, such as 1.0 or 0.5")
    return fps


def _gap_seconds(earlier: Timed, later: Timed) -> float:
    gap_seconds = later.pts_seconds - earlier.pts_seconds
    if not gap_seconds > 0:
        raise ValueError(
            f"a frame at {later.pts_seconds} s follows one at {earlier.pts_seconds} s; times must increase "
            "strictly: sort the frames or drop the late one"
        )
    return gap_seconds


def _slack_seconds(shown_seconds: float) -> float:
    return min(_ROUNDING_SECONDS, shown_seconds / 4)
