"""How much the engine may do at once: measured, so that a question that comes late waits little."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from hermes_stream.stream.engine import Engine

_FIRST_TOKENS, _MIN_TOKENS, _MAX_TOKENS = 1024, 64, 8192
_DECAY = 0.97
_OUTLIER = 4.0
_MINUTE_SECONDS = 60


class StepBudget:
    """Limits the tokens of a step so that it takes about as long as it may.

    A step costs something by itself, and something for each token; both are estimated from the latest steps.
    The limit is never below where a step's own price is half of what it takes: on a machine that is too slow
    for its streams, ever smaller steps would only make it slower.

    Args:
        step_seconds: how long a step may take.

    Attributes:
        step_tokens: the limit now.
    """

    def __init__(self, step_seconds: float) -> None:
        self._step_seconds = step_seconds
        self.step_tokens = _FIRST_TOKENS
        self._count = self._tokens = self._seconds = self._squares = self._products = 0.0

    def note(self, seconds: float, num_chunk_tokens: int) -> None:
        """Take in what a step took.

        Args:
            seconds: of the whole step.
            num_chunk_tokens: that it served; text of questions is not counted, and only makes it longer.
        """
        if num_chunk_tokens == 0:
            return
        own, each = self._prices()
        if self._count > 1 / (1 - _DECAY) / 2:
            # the machine did something else meanwhile
            seconds = min(seconds, _OUTLIER * (own + each * num_chunk_tokens))
        self._count = _DECAY * self._count + 1
        self._tokens = _DECAY * self._tokens + num_chunk_tokens
        self._seconds = _DECAY * self._seconds + seconds
        self._squares = _DECAY * self._squares + num_chunk_tokens**2
        self._products = _DECAY * self._products + num_chunk_tokens * seconds
        own, each = self._prices()
        fitting, efficient = (self._step_seconds - own) / each, own / each
        self.step_tokens = max(_MIN_TOKENS, min(_MAX_TOKENS, round(max(fitting, efficient))))

    def _prices(self) -> tuple[float, float]:
        """Return what a step costs by itself, and for each token: a line through the latest steps."""
        if self._count == 0:
            return 0.0, 0.0
        mean_tokens, mean_seconds = self._tokens / self._count, self._seconds / self._count
        variance = self._squares / self._count - mean_tokens**2
        each = mean_seconds / mean_tokens  # all of it, where steps are too alike to tell
        if variance > (0.05 * mean_tokens) ** 2:
            slope = (self._products / self._count - mean_tokens * mean_seconds) / variance
            each = min(max(slope, 0.05 * each), each)
        return max(0.0, mean_seconds - each * mean_tokens), max(each, 1e-9)

    @property
    def token_seconds(self) -> float | None:
        """What a token of a chunk took lately, with its share of steps' own price; None before any."""
        return self._seconds / self._tokens if self._tokens else None

    def apply_to(self, engine: Engine) -> None:
        """Set an engine's limit."""
        engine.step_tokens = self.step_tokens


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
