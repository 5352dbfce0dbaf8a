"""Which pictures of a live source are taken."""

from __future__ import annotations

import math
from typing import final

# Cameras jitter: a picture this share of an interval early counts as due.
_EARLY = 0.1


@final
class LiveSampler:
    """Takes the first picture of every interval of ``1 / fps`` seconds, counted from the first one.

    It never waits for a later picture, so that a live one is seen at once.

    Args:
        fps: pictures to take per second; None takes all.
    """

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._start_seconds: float | None = None
        self._due = 0

    def is_due(self, seconds: float) -> bool:
        """Tell whether a picture of this time would be taken."""
        return self._fps is None or self._start_seconds is None or self._instant(seconds) >= self._due

    def take(self, seconds: float) -> bool:
        """Tell whether a picture of this time is taken; the next is due an instant later."""
        if not self.is_due(seconds):
            return False
        if self._start_seconds is None:
            self._start_seconds = seconds
        self._due = self._instant(seconds) + 1
        return True

    def _instant(self, seconds: float) -> int:
        if self._fps is None or self._start_seconds is None:
            return 0
        return math.floor((seconds - self._start_seconds) * self._fps + _EARLY)
