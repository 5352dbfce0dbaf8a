"""An answer while it is given: iterate for text pieces, or read ``text`` for the whole."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import RLock
from typing import Literal

FinishReason = Literal["stop", "length", "abandoned", "failed"]
NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """How likely a token of an answer was, before temperature and penalties.

    Attributes:
        token_id: the token.
        logprob: natural logarithm of its probability.
        top: the likeliest tokens there with their logarithms, likeliest first, as many as were asked for.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Answer:
    """The answer to one question.

    Its tokens are made while it is read. What is not read when the next call of its session comes is made
    first, so that an answer is never shorter than it would be; ``close`` gives up the rest. ``str(answer)``
    is its text, ``async for`` reads it in a thread of its own. The memory is the same either way.

    Attributes:
        question: what was asked.
        options: the choices, empty for an open question.
        token_ids: tokens of the answer so far.
        logprobs: how likely each of them was, where that was asked for.
        ttft_seconds: from the question to the first token, less what waiting frames took; 0 before.
        ttft_with_pending_seconds: from the question to the first token, waiting frames folded in.
        tokens_per_second: of the tokens after the first; None before there are two.
        option_index: which option was chosen; None for an open question, and where a question came back or
            the answer is "not seen".
        confidence: how sure the model is, in [0, 1]: the mean probability of its tokens; of an option, how
            likely it is among all. None before the first token.
        clarification: whether the text is a question back, because the model was not sure enough.
        guess: the answer that was held back then; None where the text is the answer.
        runner_up: the option that came second; None for an open question.
        unseen: whether the answer is "not seen", which only ``allow_unseen`` offers.
        unseen_score: how likely "not seen" is against the best other answer, in [0, 1]; None where it was not
            offered, and before it is known.
        finish_reason: "stop", "length", "abandoned", "failed"; None while the answer goes on.
        failure: why it failed; None where it did not.
        pending: tells what waiting frames took, in seconds; asked when the first token is there.
    """

    def __init__(self, question: str, options: Sequence[str] = ()) -> None:
        self.question = question
        self.options = tuple(options)
        self.token_ids: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.ttft_seconds = 0.0
        self.ttft_with_pending_seconds = 0.0
        self.tokens_per_second: float | None = None
        self.option_index: int | None = None
        self.confidence: float | None = None
        self.clarification = False
        self.guess: str | None = None
        self.runner_up: str | None = None
        self.unseen = False
        self.unseen_score: float | None = None
        self.finish_reason: FinishReason | None = None
        self.failure: BaseException | None = None
        self.pending: Callable[[], float] = float
        self._asked = time.perf_counter()
        self._first: float | None = None
        self._unread: deque[str] = deque()
        self._read: list[str] = []
        self._advance, self._abandon = _no_more, _nothing
        self._lock: AbstractContextManager[bool] = RLock()

    def attach(
        self,
        advance: Callable[[], bool],
        abandon: Callable[[], None],
        lock: AbstractContextManager[bool] | None = None,
    ) -> None:
        """Connect the answer with what makes it.

        Args:
            advance: goes one step on; False when the answer is at its end.
            abandon: gives it up.
            lock: is held while the answer is read; None where one thread does all.
        """
        self._advance, self._abandon, self._lock = advance, abandon, lock or self._lock

    def give(self, text: str) -> None:
        """Add text to the answer, after a token was chosen; the first time, note when.

        Args:
            text: may be empty, where a token is no whole character.
        """
        now = time.perf_counter()
        if self._first is None:
            self._first = now
            self.ttft_with_pending_seconds = now - self._asked
            self.ttft_seconds = self.ttft_with_pending_seconds - self.pending()
        if len(self.token_ids) > 1 and now > self._first:
            self.tokens_per_second = (len(self.token_ids) - 1) / (now - self._first)
        if text:
            self._unread.append(text)

    def note_token(self, token_id: int, probability: float) -> None:
        """Add a token that was chosen, and how likely it was, before temperature and penalties."""
        before = len(self.token_ids)
        self.token_ids.append(token_id)
        self.confidence = ((self.confidence or 0.0) * before + probability) / (before + 1)

    def take_over(self, draft: Answer, text: str) -> None:
        """Become what a draft is, which nobody has read; its end is the caller's to set."""
        self.give(text)  # the text comes at once, whatever its tokens took
        self.token_ids, self.logprobs = draft.token_ids, draft.logprobs
        self.option_index, self.runner_up = draft.option_index, draft.runner_up
        self.confidence, self.tokens_per_second = draft.confidence, draft.tokens_per_second

    def fail(self, error: BaseException) -> None:
        """End the answer with an error, which is raised where it is read."""
        self.failure, self.finish_reason = error, "failed"
        self.detach()

    def detach(self) -> None:
        """Let go of what made the answer, and of the memory behind that, once it is done."""
        self._advance, self._abandon = _no_more, _nothing

    def _proceed(self) -> bool:
        """Have more of the answer made; tell whether there may be more."""
        goes_on = self._advance()
        if self.is_done:
            self.detach()
        return goes_on

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
        with self._lock:
            while not self.has_begun and self._proceed():
                pass

    def finish(self) -> None:
        """Make the rest of the answer, to be read later; an error is kept for whoever reads it."""
        with self._lock:
            try:
                while not self.is_done and self._proceed():
                    pass
            except Exception as error:
                self.fail(error)

    def __iter__(self) -> Iterator[str]:
        """Yield the text pieces that were not yet read."""
        return self

    def __next__(self) -> str:
        """Return the next piece of text; raise what the answer failed with."""
        with self._lock:
            while not self._unread:
                if self.failure is not None:
                    raise self.failure
                if self.is_done:
                    raise StopIteration
                if not self._proceed() and not (self.is_done or self._unread):
                    # never read as an answer that is empty, or ends here
                    self.fail(RuntimeError("what made this answer was interrupted; ask again"))
            self._read.append(self._unread.popleft())
            return self._read[-1]

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the text pieces that were not yet read, each made in another thread."""
        while (piece := await asyncio.to_thread(next, self, None)) is not None:
            yield piece

    def take_ready(self) -> list[str]:
        """Return the pieces that are made and were not yet read, without making more."""
        with self._lock:
            pieces = list(self._unread)
            self._read += pieces
            self._unread.clear()
        return pieces

    @property
    def text(self) -> str:
        """The whole answer; reads it to its end."""
        for _ in self:
            pass
        return "".join(self._read)

    def close(self) -> None:
        """Give up the rest of the answer; what was read stays."""
        with self._lock:
            if not self.is_done:
                self._abandon()  # first: where it is refused, the answer goes on
                self.finish_reason = "abandoned"
                self.detach()
            self._unread.clear()

    def __str__(self) -> str:
        """Return the whole answer."""
        return self.text

    def __repr__(self) -> str:
        known = "".join([*self._read, *self._unread])
        return f"Answer(question={self.question!r}, text={known!r}, finish_reason={self.finish_reason!r})"


def _no_more() -> bool:
    return False


def _nothing() -> None:
    pass
