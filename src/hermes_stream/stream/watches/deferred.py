"""A question that waits for its evidence: asked once what decides it has been seen, or not at all."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, final

from hermes_stream.stream.answer import NOT_SEEN, Answer
from hermes_stream.stream.watches.watch import Watch

log = logging.getLogger(__name__)
DeferredState = Literal["waiting", "answered", "not_seen", "cancelled"]
CAN_BE_ANSWERED = (
    'Somebody asks about this video: "{question}" Has enough been seen by now to answer that? Answer with '
    "yes or no."
)


@final
class Deferred:
    """A question that waits; made by ``Session.ask(..., wait_seconds=...)`` and ``StreamHandle.ask_when``.

    Args:
        question: what is asked.
        watch: tells whether the evidence is there.
        ready: what the watch's value is then: "yes", or "no" where it watches for its being missing.
        wait_seconds: for how long it waits, in seconds of the stream.
        now_seconds: time of the newest frame that was folded in when it was asked; None before the first.
        ask: asks the question.
        on_done: is called once it waits no longer.

    Attributes:
        question: what is asked.
        wait_seconds: for how long it waits.
        state: "waiting"; "answered", when its answer is there or being made; "not_seen", when the time was
            over before the evidence came; "cancelled".
        answer: None while it waits, and where there is none.
    """

    def __init__(
        self,
        question: str,
        watch: Watch,
        *,
        ready: str,
        wait_seconds: float,
        now_seconds: float | None,
        ask: Callable[[], Answer],
        on_done: Callable[[Deferred], object] | None,
    ) -> None:
        self.question, self.wait_seconds = question, wait_seconds
        self.state: DeferredState = "waiting"
        self.answer: Answer | None = None
        self._watch, self._ready, self._ask, self._on_done = watch, ready, ask, on_done
        self._since_seconds = now_seconds

    def __repr__(self) -> str:
        return f"Deferred({self.question!r}, state={self.state!r})"

    @property
    def deadline_seconds(self) -> float | None:
        """Time in the stream until which it waits; None before the first frame."""
        return None if self._since_seconds is None else self._since_seconds + self.wait_seconds

    def cancel(self) -> None:
        """Wait no longer; safe to repeat."""
        if self.state == "waiting":
            self._end("cancelled")

    def look(self) -> None:
        """Ask if the evidence is there, or give up if the time is over; no work of the stream may go on."""
        seconds = self._watch.last_seconds
        if self.state != "waiting" or seconds is None:
            return
        if self._since_seconds is None:
            self._since_seconds = seconds
        deadline = self._since_seconds + self.wait_seconds
        if self._watch.value == self._ready and seconds <= deadline:
            try:
                self.answer = self._ask()
            except Exception:
                # the stream goes on; the question has no answer
                log.exception("the question %r could not be asked", self.question)
            self._end("not_seen" if self.answer is None else "answered")
        elif seconds >= deadline:
            self._end("not_seen")

    def _end(self, state: DeferredState) -> None:
        self.state = state
        self._watch.close()
        if self._on_done is None:
            return
        try:
            self._on_done(self)
        except Exception:
            log.exception("what waits for the question %r failed", self.question)


def gate_rules(question: str, options: Sequence[str] | None, until: str | None) -> tuple[dict[str, Any], str]:
    """Return the rules of the watch that tells whether a question's evidence is there, and its value then.

    Args:
        question: what is asked.
        options: choices of the question.
        until: a question answered by yes or no that tells; None asks the model: with options whether another
            one is likelier than "not seen", else whether the question can be answered.
    """
    if until is not None:
        return {"question": until}, "yes"
    if options:
        others = [one for one in options if one != NOT_SEEN]
        return {"question": question, "options": (*others, NOT_SEEN), "answer": NOT_SEEN}, "no"
    return {"question": CAN_BE_ANSWERED.format(question=question)}, "yes"


def check_wait(wait_seconds: float) -> None:
    """Check how long a question is to wait.

    Raises:
        ValueError: it is no number of seconds above 0.
    """
    is_number = isinstance(wait_seconds, int | float) and not isinstance(wait_seconds, bool)
    if not (is_number and math.isfinite(wait_seconds) and wait_seconds > 0):
        raise ValueError(f"wait_seconds must be a number of seconds above 0, got {wait_seconds!r}")
