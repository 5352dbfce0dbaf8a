"""Frames of one stream that wait for the engine: bounded, the newest kept, every loss counted."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition

from hermes_stream.errors import OverloadedError
from hermes_stream.stream.saved_frames import check_frame
from hermes_stream.video.frame import Frame

_EARLY = 0.1
_RATE_SECONDS = 10.0
_MAX_ARRIVALS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class RingLimits:
    """How much may wait.

    Attributes:
        num_frames: frames, at most.
        num_bytes: bytes of their pictures, at most.
        seconds: from the oldest to the newest, at most; and how long a frame may wait that pushes others out.
    """

    num_frames: int
    num_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RingCounts:
    """What a ring has seen.

    Attributes:
        num_taken: frames that were due, and waited or wait.
        num_skipped: frames that were not due, or older than what came before.
        num_dropped: frames that were pushed out by newer ones.
        num_waiting: frames that wait now.
        waiting_bytes: bytes of their pictures.
        newest_seconds: time of the newest frame that came; None before the first.
        delivered_fps: frames that came lately, per second, due or not.
    """

    num_taken: int
    num_skipped: int
    num_dropped: int
    num_waiting: int
    waiting_bytes: int
    newest_seconds: float | None
    delivered_fps: float


class FrameRing:
    """Takes frames from any thread and gives them to the engine's.

    Frames are sampled by time on the way in, so that what is not due neither waits nor pushes out what is:
    the first of every interval of 1 / fps seconds, counted from the stream's zero, as nothing else outlives a
    restart. They are shrunk to what the model sees.

    Args:
        limits: of what waits.
        prepare: makes a frame that is due ready to wait, at the size that the model sees; raises
            ``ValueError`` where it cannot.
    """

    def __init__(
        self,
        limits: RingLimits,
        prepare: Callable[[Frame], Frame],
    ) -> None:
        self._limits, self._prepare = limits, prepare
        self._fps: float | None = None
        self._newest_seconds: float | None = None
        self._frames: deque[Frame] = deque()
        self._expiries: deque[float] = deque()
        self._bytes = 0
        self._num_taken = self._num_skipped = self._num_dropped = 0
        self._arrivals: deque[float] = deque(maxlen=_MAX_ARRIVALS)
        self._changed = Condition()
        self._is_closed = False

    def go_on(self, newest_seconds: float | None, fps: float | None) -> None:
        """Take frames from now on, later ones than a time alone; of what waits, those stay.

        Args:
            newest_seconds: time of the newest frame that the stream has; None where it has none.
            fps: frames taken per second of the stream; None takes all.
        """
        with self._changed:
            while (
                newest_seconds is not None and self._frames and self._frames[0].pts_seconds <= newest_seconds
            ):
                self._take_oldest()
            self._newest_seconds = self._frames[-1].pts_seconds if self._frames else newest_seconds
            self._fps = fps
            self._is_closed = False
            self._changed.notify_all()

    def put(self, frame: Frame, *, wait_seconds: float | None = None) -> bool:
        """Take a frame, if it is due and newer than those before.

        Args:
            frame: the next of the stream.
            wait_seconds: how long to wait for room, infinite for files; None pushes older ones out.

        Returns:
            Whether it was taken.

        Raises:
            ValueError: it is malformed, or too large to wait at all.
            OverloadedError: there was no room in time; the frame may be put again.
        """
        check_frame(frame)
        with self._changed:
            self._arrivals.append(time.monotonic())
            if not self._is_due(frame.pts_seconds):
                self._num_skipped += 1
                return False
        small = self._prepare(frame)  # outside of the lock: it takes longest
        if small.image.nbytes > self._limits.num_bytes:
            raise ValueError(
                f"a frame takes {small.image.nbytes} bytes and {self._limits.num_bytes} may wait; raise "
                f"ring_bytes"
            )
        with self._changed:
            if wait_seconds is not None:
                self._wait_for_room(small, wait_seconds)
            if self._is_closed or not self._is_due(frame.pts_seconds):
                self._num_skipped += 1
                return False
            while self._is_full(small):
                self._take_oldest()
                self._num_dropped += 1
            self._newest_seconds = frame.pts_seconds
            self._num_taken += 1
            self._frames.append(small)
            lasts_seconds = self._limits.seconds if wait_seconds is None else math.inf
            self._expiries.append(time.monotonic() + lasts_seconds)
            self._bytes += small.image.nbytes
        return True

    def _wait_for_room(self, frame: Frame, wait_seconds: float) -> None:
        has_room = self._changed.wait_for(
            lambda: self._is_closed or not self._is_full(frame),
            None if math.isinf(wait_seconds) else wait_seconds,
        )
        if not has_room:
            raise OverloadedError(
                f"{len(self._frames)} frames wait, and there was no room for {wait_seconds:g} s; push on "
                "from this frame later",
                retry_after_seconds=1.0,
            )

    def peek(self) -> Frame | None:
        """Return the oldest frame that waits; only the engine's thread takes it away.

        What has waited for too long is dropped, but the newest: an engine that was overloaded sees what is
        now, not what was.
        """
        with self._changed:
            while len(self._frames) > 1 and self._expiries[0] < time.monotonic():
                self._take_oldest()
                self._num_dropped += 1
            return self._frames[0] if self._frames else None

    def remove(self, frame: Frame) -> None:
        """Take a frame away that was the oldest, unless it was pushed out meanwhile."""
        with self._changed:
            if self._frames and self._frames[0] is frame:
                self._take_oldest()
            else:
                self._num_dropped -= 1  # it was pushed out while the engine took it in: it is not lost
            self._changed.notify_all()

    @property
    def has_frames(self) -> bool:
        """Whether something waits."""
        return bool(self._frames)

    @property
    def counts(self) -> RingCounts:
        """What the ring has seen."""
        with self._changed:
            return RingCounts(
                num_taken=self._num_taken,
                num_skipped=self._num_skipped,
                num_dropped=self._num_dropped,
                num_waiting=len(self._frames),
                waiting_bytes=self._bytes,
                newest_seconds=self._newest_seconds,
                delivered_fps=self._delivered_fps(),
            )

    def close(self) -> None:
        """Take no more frames, and let go whoever waits for room."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _take_oldest(self) -> None:
        self._expiries.popleft()
        self._bytes -= self._frames.popleft().image.nbytes

    def _is_due(self, seconds: float) -> bool:
        if self._newest_seconds is None:
            return True
        if seconds <= self._newest_seconds:
            return False
        return self._fps is None or self._instant(seconds) > self._instant(self._newest_seconds)

    def _instant(self, seconds: float) -> int:
        """Return which of the instants at which frames are due a time belongs to."""
        return math.floor(seconds * (self._fps or 1.0) + _EARLY)  # cameras jitter

    def _is_full(self, frame: Frame) -> bool:
        limits = self._limits
        if not self._frames:
            return False
        return (
            len(self._frames) >= limits.num_frames
            or self._bytes + frame.image.nbytes > limits.num_bytes
            or frame.pts_seconds - self._frames[0].pts_seconds > limits.seconds
        )

    def _delivered_fps(self) -> float:
        now = time.monotonic()
        recent = [moment for moment in self._arrivals if now - moment <= _RATE_SECONDS]
        is_whole = len(recent) < _MAX_ARRIVALS
        spanned_seconds = _RATE_SECONDS if is_whole else now - recent[0]
        return len(recent) / max(spanned_seconds, 1e-3)
