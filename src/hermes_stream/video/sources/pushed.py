"""Frames that others push: a browser's camera, a program, a request."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from hermes_stream.video.frame import Frame
from hermes_stream.video.sources.options import SourceOptions
from hermes_stream.video.sources.pixels import shrunk
from hermes_stream.video.sources.sampler import LiveSampler
from hermes_stream.video.sources.source import (
    SourceEvent,
    SourceEventKind,
    SourceState,
    SourceStats,
    Tally,
)

_GAP_SECONDS = 2.0
_MAX_SECONDS = 1e11


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReceipt:
    """What became of pushed frames.

    Attributes:
        newest_pts_seconds: time of the newest frame that was accepted so far, None before the first.
        num_accepted: of these frames, how many now wait to be read.
        num_late: of these frames, how many were not later than one before, and were left out.
        num_dropped: frames that waited and had to give way to newer ones.
    """

    newest_pts_seconds: float | None
    num_accepted: int
    num_late: int
    num_dropped: int


@final
class PushedFrames:
    """A ``Source`` of frames that are pushed by any thread; the oldest give way when too many wait.

    The stream's clock is that of whoever pushes: times in seconds, from wherever they begin.

    Args:
        options: how frames are taken: which, at what hours, what is turned, blacked and cut.
        max_waiting_frames: how many frames wait to be read at most.
        max_waiting_bytes: how many bytes of them, one frame aside.

    Raises:
        ValueError: a bound is below 1.
    """

    def __init__(
        self,
        options: SourceOptions | None = None,
        *,
        max_waiting_frames: int = 256,
        max_waiting_bytes: int = 256 * 2**20,
    ) -> None:
        for name, bound in (("frames", max_waiting_frames), ("bytes", max_waiting_bytes)):
            if bound < 1:
                raise ValueError(f"max_waiting_{name} is {bound}; accepted: 1 or more")
        self._options = options or SourceOptions()
        self._framing = self._options.framing
        self._sampler, self._schedule = LiveSampler(self._options.fps), self._options.watched
        self._max_frames, self._max_bytes = max_waiting_frames, max_waiting_bytes
        self._changed = threading.Condition()
        self._waiting: deque[Frame] = deque()
        self._waiting_bytes = 0
        point = self._options.goes_on
        self._newest_seconds = None if point is None else point.newest_seconds
        self._is_finished = self._is_stopped = False
        self._tally = Tally("pushed")
        self._tally.set(newest_seconds=self._newest_seconds)
        if point is not None:
            self._tally.set(zero_wall_seconds=point.zero_wall_seconds)

    @property
    def stats(self) -> SourceStats:
        """What is known of the source now."""
        return self._tally.stats

    def push(self, frames: Frame | Iterable[Frame]) -> PushReceipt:
        """Let frames wait to be read.

        Args:
            frames: one or more, times increasing.

        Returns:
            What became of them; frames of a source that was stopped or finished are all dropped.

        Raises:
            ValueError: one is no timed RGB picture; those before it are accepted.
        """
        num_accepted = num_late = num_dropped = 0
        for frame in [frames] if isinstance(frames, Frame) else frames:
            _check(frame, max_pixels=self._options.max_pixels)
            with self._changed:
                if self._is_finished or self._is_stopped:
                    num_dropped += 1
                elif self._newest_seconds is not None and frame.pts_seconds <= self._newest_seconds:
                    num_late += 1
                else:
                    num_accepted += 1
                    num_dropped += self._accept(frame)
                    self._changed.notify_all()
        self._tally.count(num_dropped=num_dropped)
        return PushReceipt(
            newest_pts_seconds=self._newest_seconds,
            num_accepted=num_accepted,
            num_late=num_late,
            num_dropped=num_dropped,
        )

    def finish(self) -> None:
        """Say that no more frames come: ``read`` ends once those that wait are read."""
        with self._changed:
            self._is_finished = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Make ``read`` end now, from any thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames alone."""
        return (item for item in self.read() if isinstance(item, Frame))

    def read(self) -> Iterator[Frame | SourceEvent]:
        """Yield frames as they are pushed, gaps told, until the source is finished or stopped."""
        last_seconds: float | None = None
        size: tuple[int, int] | None = None
        try:
            while (frame := self._next()) is not None:
                if last_seconds is None:
                    self._tally.set(state=SourceState.LIVE, reason="")
                    reason = f"{frame.image.shape[1]} x {frame.image.shape[0]}"
                    yield self._tally.event(SourceEventKind.OPENED, reason, pts_seconds=frame.pts_seconds)
                elif (gap_seconds := frame.pts_seconds - last_seconds) > _GAP_SECONDS:
                    self._tally.count(num_gaps=1, gap_seconds=gap_seconds)
                    yield self._tally.event(
                        SourceEventKind.GAP,
                        f"nothing was pushed for {gap_seconds:.1f} s",
                        pts_seconds=last_seconds,
                        gap_seconds=gap_seconds,
                    )
                height, width = frame.image.shape[:2]
                if size not in (None, (height, width)):
                    reason = f"pictures are {width} x {height} now"
                    yield self._tally.event(
                        SourceEventKind.FORMAT_CHANGED, reason, pts_seconds=frame.pts_seconds
                    )
                size, last_seconds = (height, width), frame.pts_seconds
                self._tally.set(width=width, height=height)
                self._tally.count(num_frames=1)
                yield self._framed(frame)
        finally:
            reason = "stopped" if self._is_stopped else "no more frames are pushed"
            self._tally.set(state=SourceState.ENDED, reason=reason)
        if not self._is_stopped:
            yield self._tally.event(SourceEventKind.ENDED, "no more frames are pushed")

    def _accept(self, frame: Frame) -> int:
        """Take one frame in, and return how many gave way to it."""
        if self._tally.stats.zero_wall_seconds is None:
            self._tally.set(zero_wall_seconds=time.time() - frame.pts_seconds)
        self._newest_seconds = frame.pts_seconds
        self._tally.picture_came(frame.pts_seconds)
        is_watched = self._schedule is None or self._schedule.is_on(time.time())
        if not (is_watched and self._sampler.take(frame.pts_seconds)):
            return 0
        self._waiting.append(frame)
        self._waiting_bytes += frame.image.nbytes
        num_dropped = 0
        while len(self._waiting) > 1 and (
            len(self._waiting) > self._max_frames or self._waiting_bytes > self._max_bytes
        ):
            self._waiting_bytes -= self._waiting.popleft().image.nbytes
            num_dropped += 1
        return num_dropped

    def _next(self) -> Frame | None:
        """Wait for a frame and return it; None when none comes any more."""
        with self._changed:
            while not self._waiting and not (self._is_finished or self._is_stopped):
                self._changed.wait()
            if self._is_stopped or not self._waiting:
                return None
            frame = self._waiting.popleft()
            self._waiting_bytes -= frame.image.nbytes
            return frame

    def _framed(self, frame: Frame) -> Frame:
        image = shrunk(frame.image, max_pixels=self._framing.pixels_before(self._options.max_image_pixels))
        return replace(frame, image=self._framing.apply(image))


def _check(frame: Frame, *, max_pixels: int) -> None:
    """Check that a frame is a timed RGB picture, not too large.

    Raises:
        ValueError: it is not.
    """
    seconds, image = frame.pts_seconds, frame.image
    if not isinstance(seconds, int | float) or not abs(seconds) <= _MAX_SECONDS:
        raise ValueError(
            f"pts_seconds is {seconds!r}; accepted: -{_MAX_SECONDS:g} to {_MAX_SECONDS:g} seconds"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"a frame's image is {image.dtype} {list(image.shape)}; accepted: uint8 RGB [height, width, 3]"
        )
    if image.shape[0] * image.shape[1] > max_pixels:
        raise ValueError(
            f"a frame has {image.shape[1]} x {image.shape[0]} pixels; accepted: at most {max_pixels}, "
            "push smaller ones"
        )
