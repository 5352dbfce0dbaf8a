"""Questions at random moments to a server that comes and goes, each with a text of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any

from hermes_stream.client import Client
from hermes_stream.client.values import EventValue
from hermes_stream.errors import HermesError

_QUESTIONS = ("what came first?", "what is on screen now?", "was there a circle?")
_EVERY_SECONDS = 0.7
_CALL_SECONDS = 60.0
_COMMITTED_SECONDS = 1.0
_DONE = ("stop", "length")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """A question that was answered.

    Attributes:
        question: its text.
        seconds: when the answer was whole, since 1970.
    """

    question: str
    seconds: float


class Asker:
    """Asks in a thread of its own; some answers are remembered, so that they steer the memory.

    Args:
        url: of the server.
        names: of the streams.
        seed: of moments, streams and questions.
    """

    def __init__(self, url: str, names: Sequence[str], *, seed: int) -> None:
        self._url, self._names, self._rng = url, names, random.Random(seed)
        self._answered: list[_Answered] = []
        self._deaths: list[float] = []
        self._num_asked = self._num_failed = 0
        self._lock, self._over = Lock(), Event()
        self._thread = Thread(target=self._run, name="asking")
        self._thread.start()

    def _run(self) -> None:
        with Client(self._url, timeout_seconds=_CALL_SECONDS) as client:
            while not self._over.wait(self._rng.expovariate(1 / _EVERY_SECONDS)):
                self.ask(client, self._rng.choice(self._names))

    def ask(self, client: Client, name: str) -> bool:
        """Ask a stream; tell whether there was an answer. Threads may share it."""
        with self._lock:
            self._num_asked += 1
            number = self._num_asked
        text = f"{_QUESTIONS[number % len(_QUESTIONS)]} {number}"
        try:
            answer = client.ask(name, text, max_new_tokens=4, remember=number % 3 == 0)
        except (HermesError, ValueError):
            self._num_failed += 1
            return False
        if answer.finish_reason not in _DONE:
            self._num_failed += 1
            return False
        self._answered.append(_Answered(question=text, seconds=time.time()))
        return True

    def note_death(self, seconds: float) -> None:
        """Remember that the server was killed, in seconds since 1970."""
        self._deaths.append(seconds)

    def stop(self) -> None:
        """Ask no more; safe to repeat."""
        self._over.set()
        self._thread.join()

    def summary(self, recorded: Sequence[EventValue]) -> dict[str, Any]:
        """Return how many answers there were, and how many the record should have and has not.

        Args:
            recorded: events of answers. What was answered within a second of a kill need not be there.
        """
        known = {event.payload["question"] for event in recorded}
        missing = [one for one in self._answered if one.question not in known]
        return {
            "num_asked": self._num_asked,
            "num_answered": len(self._answered),
            "num_failed": self._num_failed,
            "num_unrecorded_at_a_kill": len(missing),
            "num_unrecorded": sum(not self._is_at_a_kill(one) for one in missing),
        }

    def _is_at_a_kill(self, answered: _Answered) -> bool:
        return any(0 <= death - answered.seconds <= _COMMITTED_SECONDS for death in self._deaths)
