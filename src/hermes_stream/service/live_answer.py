"""The answer to a question of a service: read from any thread, or from asyncio, while it is made."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Literal

from hermes_stream.errors import ClosedError
from hermes_stream.stream.answer import Answer, FinishReason, TokenLogprob

EndReason = FinishReason | Literal["not_seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedMoment:
    """A moment of the stream on which an answer's attention rested.

    Attributes:
        seconds: when, in seconds of the stream.
        from_seconds: where the attention begins.
        until_seconds: where it ends.
        share: part of the attention to the video, in [0, 1].
        picture: path of a picture within the folder of pictures; None where there is none.
    """

    seconds: float
    from_seconds: float
    until_seconds: float
    share: float
    picture: str | None = None


class LiveAnswer:
    """The answer to one question, made by the engine's thread whether it is read or not.

    Iterate it for pieces of text, with ``for`` or ``async for``: each reader gets all of them, from the
    first. What the answer failed with is raised there, behind the pieces that it has.

    Attributes:
        id: under which it is recorded.
        stream: name of the stream.
        question: what was asked.
        options: the choices, empty for an open question.
        token_ids: tokens of the answer so far.
        seen_until_seconds: time of the newest frame that the answer knows, in seconds of the stream.
        ttft_seconds: from the call of ``ask``, or from where the evidence came that the question waited for,
            to the first token, less what waiting frames took; 0 before.
        ttft_with_pending_seconds: likewise, with everything.
        tokens_per_second: of the tokens after the first; None before there are two.
        option_index: which option was chosen; None for an open question.
        logprobs: how likely each token was, where that was asked for.
        confidence: how sure the model is, in [0, 1], see ``Answer``; None before the first token.
        clarification: whether the text is a question back, because the model was not sure enough.
        guess: the answer that was held back then; None where the text is the answer.
        unseen: whether the answer is "not seen", which only ``allow_unseen`` offers.
        unseen_score: how likely that is against the best other answer, see ``Answer``; None where it was not
            offered.
        evidence: moments on which it rests, most important first; known when the answer is done.
        finish_reason: "stop", "length", "abandoned", "failed"; "not_seen" where the question waited for its
            evidence and it did not come; None while the answer goes on.
        failure: why it failed; None where it did not.
        is_waiting: whether the question waits for its evidence.
    """

    def __init__(self, stream: str, question: str, options: Sequence[str] = ()) -> None:
        self.id = secrets.token_hex(12)
        self.stream, self.question, self.options = stream, question, tuple(options)
        self.token_ids: tuple[int, ...] = ()
        self.seen_until_seconds: float | None = None
        self.ttft_seconds = self.ttft_with_pending_seconds = 0.0
        self.tokens_per_second: float | None = None
        self.option_index: int | None = None
        self.logprobs: tuple[TokenLogprob, ...] = ()
        self.confidence: float | None = None
        self.clarification = False
        self.guess: str | None = None
        self.unseen = False
        self.unseen_score: float | None = None
        self.evidence: tuple[CitedMoment, ...] = ()
        self.finish_reason: EndReason | None = None
        self.failure: BaseException | None = None
        self.is_waiting = False
        self._asked = time.perf_counter()
        self._queue_seconds = 0.0
        self._pieces: list[str] = []
        self._changed = Condition()
        self._listeners: list[Callable[[], None]] = []
        self._cancel: Callable[[LiveAnswer], None] = _nothing

    @property
    def is_done(self) -> bool:
        """Whether all of it exists, or no more will."""
        return self.finish_reason is not None

    @property
    def text(self) -> str:
        """The whole answer; waits for its end.

        Raises:
            HermesError: the answer failed.
        """
        return "".join(self)

    @property
    def text_so_far(self) -> str:
        """What there is of it now."""
        with self._changed:
            return "".join(self._pieces)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the end; tell whether it came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_done, timeout_seconds)

    def cancel(self) -> None:
        """Give up the rest of the answer; safe to repeat, and from any thread."""
        if not self.is_done:
            self._cancel(self)

    def __iter__(self) -> Iterator[str]:
        """Yield the pieces of text as they are made."""
        count = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._pieces) > count or self.is_done)  # noqa: B023
                pieces, is_done = self._pieces[count:], self.is_done
            yield from pieces
            count += len(pieces)
            if is_done:
                break
        if self.failure is not None:
            raise self.failure

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the pieces of text as they are made; no thread waits for them."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

        with self._changed:
            self._listeners.append(wake)
        try:
            count = 0
            while True:
                woken.clear()
                with self._changed:
                    pieces, is_done = self._pieces[count:], self.is_done
                for piece in pieces:
                    yield piece
                count += len(pieces)
                if is_done:
                    break
                await woken.wait()
        finally:
            with self._changed:
                self._listeners.remove(wake)
        if self.failure is not None:
            raise self.failure

    def wait_for_evidence(self, cancel: Callable[[LiveAnswer], None]) -> None:
        """Note that the question waits for its evidence.

        Args:
            cancel: gives it up, from any thread.
        """
        self._cancel, self.is_waiting = cancel, True

    def evidence_came(self) -> None:
        """Note that the question waits no longer: what it took until now is not the answer's."""
        self._asked, self.is_waiting = time.perf_counter(), False

    def attach(self, answer: Answer, cancel: Callable[[LiveAnswer], None]) -> None:
        """Note that the engine has taken the question.

        Args:
            answer: the engine's.
            cancel: gives this answer up, from any thread.
        """
        self._queue_seconds = time.perf_counter() - self._asked
        self.options = answer.options
        self._cancel = cancel

    def follow(self, answer: Answer) -> None:
        """Take over what the engine's answer has so far."""
        pieces = answer.take_ready()
        with self._changed:
            self.token_ids, self.logprobs = tuple(answer.token_ids), tuple(answer.logprobs)
            self.confidence, self.clarification = answer.confidence, answer.clarification
            self.guess = answer.guess
            self.unseen, self.unseen_score = answer.unseen, answer.unseen_score
            if answer.has_begun:
                self.ttft_seconds = self._queue_seconds + answer.ttft_seconds
                self.ttft_with_pending_seconds = self._queue_seconds + answer.ttft_with_pending_seconds
            self.tokens_per_second, self.option_index = answer.tokens_per_second, answer.option_index
            if not pieces:
                return
            self._pieces += pieces
        self._wake()

    def end(self, reason: EndReason, failure: BaseException | None = None) -> None:
        """End the answer; what comes later is not its own."""
        with self._changed:
            if self.is_done:
                return
            self.failure, self._cancel = failure, _nothing
            self.finish_reason = reason
        self._wake()

    def fail(self, reason: str) -> None:
        """End the answer because whoever made it is gone."""
        self.end("failed", ClosedError(reason))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def __str__(self) -> str:
        """Return the whole answer."""
        return self.text

    def __repr__(self) -> str:
        return (
            f"LiveAnswer(stream={self.stream!r}, question={self.question!r}, text={self.text_so_far!r}, "
            f"finish_reason={self.finish_reason!r})"
        )


def _nothing(_: LiveAnswer) -> None:
    pass
