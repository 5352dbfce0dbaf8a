"""One clock for a live stream, over all the times that its source is opened."""

from __future__ import annotations

import time
from typing import final

from hermes_stream.video.sources.source import ClockPoint

_MIN_STEP_SECONDS = 0.001
_RESTART_STEP_SECONDS = 0.04
# More than pictures arrive early or late by, so that it was the source's clock that leapt.
_LEAP_SECONDS = 5.0
_BACK_SECONDS = 1.0
_SMOOTHING = 0.05
# A source's clock runs at another speed by far less; so times stay near this machine's, and even.
_MAX_SLEW = 0.01


@final
class LiveClock:
    """Gives each picture of a live source its time: seconds since the stream began, strictly increasing.

    Within one connection times follow the source's own, which are even, and are led slowly towards when
    pictures arrive, since its clock drifts. A connection begins, and goes on after a leap of the source's
    clock, at the time of arrival.

    Args:
        goes_on: where the stream's clock stands already; None begins at 0 with the first picture.

    Attributes:
        zero_wall_seconds: when second 0 was, in seconds since 1970; None before the first picture.
        newest_seconds: time of the newest picture, None before the first.
        num_leaps: how often the source's clock leapt.
    """

    def __init__(self, goes_on: ClockPoint | None = None) -> None:
        self.zero_wall_seconds: float | None = None
        self.newest_seconds: float | None = None
        self.num_leaps = 0
        self._goes_on = goes_on
        self._zero_monotonic = 0.0
        self._lead_seconds = 0.0
        self.restart()

    def restart(self, *, step_seconds: float = 0.0) -> None:
        """Forget the source's clock: it was opened again.

        Args:
            step_seconds: from one picture to the next, as far as the source says.
        """
        self._step_seconds = step_seconds
        self._is_fresh = True
        self._shift_seconds: float | None = None
        self._last_own = self._last_now = 0.0
        self._first_lead: float | None = None

    def now(self, arrival: float) -> float:
        """Return the stream's time of a moment.

        Args:
            arrival: the moment, as ``time.monotonic`` gives it.
        """
        if self.zero_wall_seconds is None:
            self._begin(arrival)
        return arrival - self._zero_monotonic

    def stamp(self, own_seconds: float | None, arrival: float) -> float | None:
        """Return the stream's time of a picture, or None where it comes after a later one.

        Args:
            own_seconds: its time on the source's clock, None where it has none.
            arrival: when it came, as ``time.monotonic`` gives it.
        """
        now = self.now(arrival)
        seconds = now if own_seconds is None else self._followed(own_seconds, now)
        self._is_fresh = False
        if seconds is None:
            return None
        if self.newest_seconds is not None:
            seconds = max(seconds, self.newest_seconds + _MIN_STEP_SECONDS)
        self.newest_seconds = seconds
        return seconds

    @property
    def drift_seconds(self) -> float | None:
        """How far the source's clock ran ahead of this machine's since it was opened; None without one."""
        return None if self._first_lead is None else self._lead_seconds - self._first_lead

    def _begin(self, arrival: float) -> None:
        wall, point = time.time() - (time.monotonic() - arrival), self._goes_on
        if point is None:
            self.zero_wall_seconds, self._zero_monotonic = wall, arrival
            return
        self.zero_wall_seconds, self.newest_seconds = point.zero_wall_seconds, point.newest_seconds
        # The machine's clock may have been set back meanwhile; the stream's goes on all the same.
        now = max(wall - point.zero_wall_seconds, point.newest_seconds + _RESTART_STEP_SECONDS)
        self._zero_monotonic = arrival - now

    def _followed(self, own_seconds: float, now: float) -> float | None:
        if self._shift_seconds is None:
            if not self._is_fresh and self.newest_seconds is not None:
                # The first picture often has no time, and the next come with it: FFmpeg held them back.
                now = max(now, self.newest_seconds + self._step_seconds)
            self._shift_seconds = now - own_seconds
            self._first_lead = self._lead_seconds = own_seconds - now
        else:
            own_step, step = own_seconds - self._last_own, now - self._last_now
            if (
                own_step < -_BACK_SECONDS
                or own_step - step > _LEAP_SECONDS
                or step - own_step > _LEAP_SECONDS
            ):
                self.num_leaps += 1
                self.restart(step_seconds=self._step_seconds)
                return self._followed(own_seconds, now)
            if own_step <= 0:
                return None
            self._lead_seconds += _SMOOTHING * (own_seconds - now - self._lead_seconds)
            behind_seconds = -self._lead_seconds - self._shift_seconds
            most = _MAX_SLEW * own_step
            self._shift_seconds += min(most, max(-most, behind_seconds))
        self._last_own, self._last_now = own_seconds, now
        return own_seconds + self._shift_seconds
