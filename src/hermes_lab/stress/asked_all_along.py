"""Questions to each stream, one after the other by a thread of its own, and when each was answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count, pairwise
from threading import Event, Thread
from typing import Any

from hermes_stream.client import Client
from hermes_stream.errors import HermesError

_PAUSE_SECONDS = 0.5
_QUESTION = "what is on screen now?"


class AskedAllAlong:
    """Asks until it is stopped; what is refused or cut short is counted, and asked again.

    Args:
        url: of the server.
        names: of the streams.
    """

    def __init__(self, url: str, names: Sequence[str]) -> None:
        self._url, self._over = url, Event()
        self._answered: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        self._failed: dict[str, list[tuple[float, str]]] = {name: [] for name in names}
        self._numbers = count()
        self._threads = [Thread(target=self._run, args=(name,), name=f"asking-{name}") for name in names]
        for thread in self._threads:
            thread.start()

    def num_answered(self, name: str) -> int:
        """Return how many questions of a stream were answered."""
        return len(self._answered[name])

    def last_asked(self, name: str) -> float:
        """Return when the newest question was asked that was answered; minus infinity before any."""
        answered = self._answered[name]
        return answered[-1][0] if answered else -float("inf")

    def summary(self, *, since: float) -> dict[str, Any]:
        """Return how it went since a moment of the monotonic clock.

        What is unanswered lasts from an answer to the next one that is given, at the stream where that was
        longest; a question that was under way then counts.
        """
        longest, now = 0.0, time.monotonic()
        for answered in self._answered.values():
            ends = [end for _, end in answered if end > since]
            before = [end for _, end in answered if end <= since]
            moments = [before[-1] if before else since, *ends, now]
            longest = max(longest, *(b - a for a, b in pairwise(moments)))
        reasons = [why for failed in self._failed.values() for at, why in failed if at > since]
        return {
            "num_answered": sum(end > since for one in self._answered.values() for _, end in one),
            "num_failed": len(reasons),
            "reasons": sorted(set(reasons))[:5],
            "longest_unanswered_seconds": longest,
        }

    def stop(self) -> None:
        """Ask no more; safe to repeat."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, name: str) -> None:
        with Client(self._url, timeout_seconds=20.0) as client:
            while not self._over.wait(_PAUSE_SECONDS):
                asked = time.monotonic()
                try:
                    # each question is another, so that an answer that is recorded twice is seen
                    text = f"{_QUESTION} {next(self._numbers)}"
                    answer = client.ask(name, text, max_new_tokens=2, num_moments=0)
                except (HermesError, ValueError) as error:
                    self._failed[name].append((time.monotonic(), f"{type(error).__name__}: {error}"[:200]))
                    continue
                if answer.finish_reason in ("stop", "length"):
                    self._answered[name].append((asked, time.monotonic()))
