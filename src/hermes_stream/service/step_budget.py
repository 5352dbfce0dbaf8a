"""How much the engine may do at once: measured, so that a question that comes late waits little."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from hermes_stream.stream.engine import Engine

_MIN_TOKENS, _MAX_TOKENS = 64, 8192
_SLOWER, _FASTER = 0.5, 0.1
_MINUTE_SECONDS = 60


class StepBudget:
    """Limits the tokens of a step so that it takes about as long as it may.

    Args:
        step_seconds: how long that is.

    Attributes:
        token_seconds: what a token of a chunk took lately; None before any.
    """

    def __init__(self, step_seconds: float) -> None:
        self._step_seconds = step_seconds
        self.token_seconds: float | None = None

    def note(self, seconds: float, num_chunk_tokens: int) -> None:
        """Take in what a step took.

        Args:
            seconds: of the whole step.
            num_chunk_tokens: that it served; text of questions is not counted, and only makes it longer.
        """
        if num_chunk_tokens == 0:
            return
        measured = seconds / num_chunk_tokens
        if self.token_seconds is None:
            self.token_seconds = measured
            return
        # what got slower is believed sooner than what got faster: the limit is for the bad case
        weight = _SLOWER if measured > self.token_seconds else _FASTER
        self.token_seconds += weight * (measured - self.token_seconds)

    def apply_to(self, engine: Engine) -> None:
        """Set an engine's limit."""
        if self.token_seconds:
            fitting = int(self._step_seconds / self.token_seconds)
            engine.step_tokens = max(_MIN_TOKENS, min(_MAX_TOKENS, fitting))


class BusyClock:
    """Adds up, second by second, how long the engine works. One thread writes, any thread reads."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._seconds: deque[tuple[int, float]] = deque(maxlen=_MINUTE_SECONDS)
        self._first = time.monotonic()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count what happens inside."""
        self._began_at = began = time.monotonic()
        try:
            yield
        finally:
            self._began_at = None
            now = time.monotonic()
            second, spent = int(now), now - began
            if self._seconds and self._seconds[-1][0] == second:
                self._seconds[-1] = (second, self._seconds[-1][1] + spent)
            else:
                self._seconds.append((second, spent))

    @property
    def step_seconds(self) -> float:
        """How long the work that is going on has taken; 0 where there is none."""
        began = self._began_at
        return 0.0 if began is None else time.monotonic() - began

    @property
    def share(self) -> float:
        """Part of the last minute, or of the time since the beginning, that was work; in [0, 1]."""
        now = time.monotonic()
        spent = sum(spent for second, spent in tuple(self._seconds) if second > now - _MINUTE_SECONDS)
        return min(1.0, (spent + self.step_seconds) / max(1.0, min(_MINUTE_SECONDS, now - self._first)))
