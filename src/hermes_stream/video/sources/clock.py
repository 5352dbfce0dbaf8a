"""What time a decoded picture is shown."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, final

from hermes_stream.video.sampling import MAX_FILLED_SECONDS

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_DEFAULT_FPS = 25.0
_TS_DISCONT = 0x200  # FFmpeg's mark of formats whose clock may leap; PyAV has no type for it
# Smaller steps back are pictures out of order; larger ones a recording that began again in the same file.
_RESTART_SECONDS = 1.0
_LEAP_SECONDS = 10.0
_MAX_LEAP_SECONDS = 1e7  # no recording pauses for months: whatever says so is damaged
_MAX_START_SECONDS = 1e10  # clocks that count from 1970 are below it, and floats still tell pictures apart
BROADCAST_FORMATS = ("mpegts", "mpeg")
"""Containers without an index or one clock: pieces of several recordings may follow each other."""
# They count 33 bits of a 90 kHz clock, so that it starts again every 26.5 hours.
_WRAP_TICKS = 2**33


class Stamped(Protocol):
    """A decoded picture or a packet, as far as its times go."""

    @property
    def pts(self) -> int | None:
        """When it is shown, in ticks."""

    @property
    def dts(self) -> int | None:
        """When it is decoded, in ticks."""

    @property
    def duration(self) -> int | None:
        """How long it is shown, in ticks."""


@final
class PictureClock:
    """Gives each picture of one pass through a stream its time, strictly increasing.

    Pictures without a time follow at the stream's rate, late ones are dropped, and where the file's own clock
    starts again or leaps, time goes on from the picture before. What counts as a leap depends on the
    container: broadcast formats may change clocks anywhere, so that ten seconds are one; in others a picture
    may stay for long, so that it is one only far past the declared end.

    Attributes:
        last_seconds: time of the newest picture, ``None`` before the first.
        end_seconds: end of the newest picture.
        num_jumps: how often the file's own clock started again or leapt.
    """

    def __init__(self, stream: VideoStream, *, known_end_seconds: float | None) -> None:
        container_format = stream.container.format
        self.last_seconds: float | None = None
        self.end_seconds = 0.0
        self.num_jumps = 0
        self._longest_gap_seconds = 0.0
        self._time_base = stream.time_base or Fraction(0)
        self._start_ticks = stream.start_time or 0
        fps = float(stream.guessed_rate or stream.average_rate or _DEFAULT_FPS)
        self._default_duration_seconds = min(1 / fps, MAX_FILLED_SECONDS)
        self._known_end_seconds = known_end_seconds
        # AVI stores no presentation times: those that FFmpeg reports are guesses, out of order with B-frames.
        self._is_in_decode_order = container_format.name == "avi"
        self._may_leap = bool(container_format.flags & _TS_DISCONT)
        self._wraps = container_format.name in BROADCAST_FORMATS
        self._first_dts: int | None = None
        self._last_ticks: int | None = None
        self._zero_ticks = 0
        self._shift_seconds = 0.0

    def stamp(self, picture: Stamped) -> tuple[float, float] | None:
        """Return a picture's time and duration (0 if unknown) in seconds, or ``None`` if it comes late."""
        duration_seconds = max(0.0, self._seconds(picture.duration or 0))
        if duration_seconds > _MAX_LEAP_SECONDS:
            duration_seconds = 0.0
        own_seconds = self._own_seconds(picture)
        if own_seconds is None:
            seconds = self._following_seconds()
        else:
            seconds = own_seconds + self._shift_seconds
            if self._is_jump(seconds):
                self.num_jumps += 1
                self._shift_seconds += self.end_seconds - seconds
                seconds = self.end_seconds
        if self.last_seconds is not None:
            if seconds <= self.last_seconds:
                return None
            self._longest_gap_seconds = max(self._longest_gap_seconds, seconds - self.last_seconds)
        self.last_seconds = seconds
        self.end_seconds = seconds + (duration_seconds or self._default_duration_seconds)
        return seconds, duration_seconds

    @property
    def longest_stay_seconds(self) -> float:
        """The longest that one picture stayed, the newest one included."""
        newest_seconds = 0.0 if self.last_seconds is None else self.end_seconds - self.last_seconds
        return max(self._longest_gap_seconds, newest_seconds)

    def _own_seconds(self, picture: Stamped) -> float | None:
        ticks = picture.pts
        if self._is_in_decode_order:
            if self._first_dts is None:
                self._first_dts = picture.dts
            if picture.dts is None or self._first_dts is None:
                return None
            ticks = self._start_ticks + picture.dts - self._first_dts
        if ticks is None or not self._time_base:
            return None
        ticks = self._unwrapped(ticks)
        if self.last_seconds is None and abs(self._seconds(ticks)) > _MAX_START_SECONDS:
            self._zero_ticks = ticks
            self.num_jumps += 1
        return self._seconds(ticks - self._zero_ticks)

    def _unwrapped(self, ticks: int) -> int:
        """Return the ticks that a clock without a limit would show: the nearest to those of the last picture.

        FFmpeg's own correction adds a whole turn to every time below the first one, and so makes a day of a
        clock that starts again lower.
        """
        if self._wraps and self._last_ticks is not None:
            half = _WRAP_TICKS // 2
            ticks = self._last_ticks + (ticks - self._last_ticks + half) % _WRAP_TICKS - half
        self._last_ticks = ticks
        return ticks

    def _seconds(self, ticks: int) -> float:
        return float(ticks * self._time_base)

    def _following_seconds(self) -> float:
        if self.last_seconds is not None:
            return self.end_seconds
        start_seconds = self._seconds(self._start_ticks)
        return start_seconds if abs(start_seconds) <= _MAX_START_SECONDS else 0.0

    def _is_jump(self, seconds: float) -> bool:
        if self.last_seconds is None:
            return False
        step_seconds = seconds - self.last_seconds
        if step_seconds <= _LEAP_SECONDS:
            return step_seconds < -_RESTART_SECONDS
        end_seconds = self._known_end_seconds
        is_past_end = end_seconds is not None and seconds > end_seconds + _LEAP_SECONDS
        return self._may_leap or is_past_end or step_seconds > _MAX_LEAP_SECONDS
