"""Times of pictures that bring none: when they came, on their stream's clock."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_MAX_STREAMS = 4096
_STEP_SECONDS = 1e-6


class Arrivals:
    """Counts from a stream's zero by the machine's clock, and goes on by itself where that is set back.

    Args:
        wall: the machine's clock, in seconds.
        monotonic: one that is never set, in seconds.
    """

    def __init__(
        self, *, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._last: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def seconds(self, stream: str, *, zero: float | None, newest: float | None) -> float:
        """Return the time of a picture that has come now.

        Args:
            stream: its name.
            zero: of the stream, by the machine's clock; None where no picture came yet.
            newest: time of the newest picture, later than which it is to be; None where none came.
        """
        if zero is None:
            with self._lock:
                self._last.pop(stream, None)  # of another stream, which had the name before
            return 0.0
        wall, now = max(0.0, self._wall() - zero), self._monotonic()
        with self._lock:
            last, at = self._last.get(stream, (-1.0, now))
            if newest is not None and newest > last:
                last, at = newest, now
            seconds = wall if wall > last else last + max(now - at, _STEP_SECONDS)
            self._last[stream] = seconds, now
            self._last.move_to_end(stream)
            if len(self._last) > _MAX_STREAMS:
                self._last.popitem(last=False)
        return seconds
