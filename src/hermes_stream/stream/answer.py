"""An answer while it is given: iterate for text pieces, or read ``text`` for the whole."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

FinishReason = Literal["stop", "length", "abandoned", "failed"]


class Answer:
    """The answer to one question.

    Its tokens are made while it is read. One that is not read to its end is abandoned by the next call of its
    session; the memory is the same either way. In an engine every answer is made to its end, unless closed.

    Attributes:
        question: what was asked.
        options: the choices, empty for an open question.
        token_ids: tokens of the answer so far.
        ttft_seconds: from the question to the first token, less what waiting frames took; 0 before.
        ttft_with_pending_seconds: from the question to the first token, waiting frames folded in.
        tokens_per_second: of the tokens after the first; None before there are two.
        option_index: which option was chosen; None for an open question.
        finish_reason: "stop", "length", "abandoned", "failed"; None while the answer goes on.
        failure: why it failed; None where it did not.
    """

    def __init__(self, question: str, options: Sequence[str] = ()) -> None:
        self.question = question
        self.options = tuple(options)
        self.token_ids: list[int] = []
        self.ttft_seconds = 0.0
        self.ttft_with_pending_seconds = 0.0
        self.tokens_per_second: float | None = None
        self.option_index: int | None = None
        self.finish_reason: FinishReason | None = None
        self.failure: BaseException | None = None
        self._asked = time.perf_counter()
        self._first: float | None = None
        self._waiting: deque[str] = deque()
        self._given: list[str] = []
        self._advance: Callable[[], bool] = lambda: False
        self._abandon: Callable[[], None] = lambda: None

    def attach(self, advance: Callable[[], bool], abandon: Callable[[], None]) -> None:
        """Connect the answer with what makes it.

        Args:
            advance: goes one step on; False when the answer is at its end.
            abandon: gives it up.
        """
        self._advance, self._abandon = advance, abandon

    def give(self, text: str, *, pending_seconds: float) -> None:
        """Add text to the answer, after a token was chosen; the first time, note when.

        Args:
            text: may be empty, where a token is no whole character.
            pending_seconds: what waiting frames took.
        """
        now = time.perf_counter()
        if self._first is None:
            self._first = now
            self.ttft_with_pending_seconds = now - self._asked
            self.ttft_seconds = self.ttft_with_pending_seconds - pending_seconds
        if len(self.token_ids) > 1:
            self.tokens_per_second = (len(self.token_ids) - 1) / (now - self._first)
        if text:
            self._waiting.append(text)

    def fail(self, error: BaseException) -> None:
        """End the answer with an error, which is raised where it is read."""
        self.failure, self.finish_reason = error, "failed"

    @property
    def has_begun(self) -> bool:
        """Whether its first token exists."""
        return self._first is not None

    @property
    def is_done(self) -> bool:
        """Whether all of it exists, or no more will."""
        return self.finish_reason is not None

    def wait_for_first(self) -> None:
        """Make the first token."""
        while not self.has_begun and self._advance():
            pass

    def __iter__(self) -> Iterator[str]:
        """Yield the text pieces that were not yet given."""
        return self

    def __next__(self) -> str:
        """Return the next piece of text."""
        while not self._waiting:
            if self.failure is not None:
                raise self.failure
            if self.is_done or (not self._advance() and not self._waiting):
                raise StopIteration
        self._given.append(self._waiting.popleft())
        return self._given[-1]

    @property
    def text(self) -> str:
        """The whole answer; reads it to its end."""
        for _ in self:
            pass
        return "".join(self._given)

    def close(self) -> None:
        """Abandon the rest of the answer."""
        if not self.is_done:
            self.finish_reason = "abandoned"
            self._abandon()
        self._waiting.clear()

    def __repr__(self) -> str:
        given = "".join(self._given)
        return f"Answer(question={self.question!r}, text={given!r}, finish_reason={self.finish_reason!r})"
