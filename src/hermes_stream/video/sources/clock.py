"""What time a decoded picture is shown."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_DEFAULT_FPS = 25.0
# Smaller steps back are pictures out of order; larger ones a recording that began again in the same file.
_RESTART_SECONDS = 1.0
_LEAP_SECONDS = 10.0


@final
class PictureClock:
    """Gives each picture of one pass through a stream its time, strictly increasing.

    Pictures without a time follow at the stream's rate, late ones are dropped, and where the file's own clock
    starts again or leaps far past its end, time goes on from the picture before.

    Attributes:
        last_seconds: time of the newest picture, ``None`` before the first.
        end_seconds: end of the newest picture.
        num_jumps: how often the file's own clock started again or leapt.
    """

    def __init__(self, stream: VideoStream, *, known_end_seconds: float | None) -> None:
        self.last_seconds: float | None = None
        self.end_seconds = 0.0
        self.num_jumps = 0
        self._time_base = stream.time_base or Fraction(0)
        self._start_ticks = stream.start_time or 0
        self._default_duration_seconds = 1 / float(stream.guessed_rate or stream.average_rate or _DEFAULT_FPS)
        self._known_end_seconds = known_end_seconds
        # AVI stores no presentation times: those that FFmpeg reports are guesses, out of order with B-frames.
        self._is_in_decode_order = stream.container.format.name == "avi"
        self._first_dts: int | None = None
        self._shift_seconds = 0.0

    def stamp(self, picture: VideoFrame) -> tuple[float, float] | None:
        """Return a picture's time and duration (0 if unknown) in seconds, or ``None`` if it comes late."""
        duration_seconds = max(0.0, self._seconds(picture.duration or 0))
        own_seconds = self._own_seconds(picture)
        if own_seconds is None:
            seconds = self._following_seconds()
        else:
            seconds = own_seconds + self._shift_seconds
            if self._is_jump(seconds):
                self.num_jumps += 1
                self._shift_seconds += self.end_seconds - seconds
                seconds = self.end_seconds
        if self.last_seconds is not None and seconds <= self.last_seconds:
            return None
        self.last_seconds = seconds
        self.end_seconds = seconds + (duration_seconds or self._default_duration_seconds)
        return seconds, duration_seconds

    def _own_seconds(self, picture: VideoFrame) -> float | None:
        ticks = picture.pts
        if self._is_in_decode_order:
            if self._first_dts is None:
                self._first_dts = picture.dts
            if picture.dts is None or self._first_dts is None:
                return None
            ticks = self._start_ticks + picture.dts - self._first_dts
        return None if ticks is None else self._seconds(ticks)

    def _seconds(self, ticks: int) -> float:
        return float(ticks * self._time_base)

    def _following_seconds(self) -> float:
        return self._seconds(self._start_ticks) if self.last_seconds is None else self.end_seconds

    def _is_jump(self, seconds: float) -> bool:
        if self.last_seconds is None:
            return False
        step_seconds = seconds - self.last_seconds
        if step_seconds > _LEAP_SECONDS:
            known_end_seconds = self._known_end_seconds
            return known_end_seconds is not None and seconds > known_end_seconds + _LEAP_SECONDS
        return step_seconds < -_RESTART_SECONDS
