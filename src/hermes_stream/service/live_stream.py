"""One stream of a service: frames come in from any thread, the engine's thread does the rest."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hermes_stream.errors import ClosedError
from hermes_stream.service.evidence import cite, layer_moments
from hermes_stream.service.live_answer import LiveAnswer
from hermes_stream.service.pictures import StreamPictures
from hermes_stream.service.ring import FrameRing
from hermes_stream.service.status import LayerMoments
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.handle import StreamHandle
from hermes_stream.stream.question import Question
from hermes_stream.stream.stats import SessionStats
from hermes_stream.stream.watches import Deferred, WatchesStats

log = logging.getLogger(__name__)
_TRY_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question that waits or is being answered.

    Attributes:
        live: what is read of its answer.
        answer: the engine's; None while it waits for its evidence.
        num_moments: how many moments it cites at the end.
        remembered: whether it steers what the memory keeps.
        asked_wall_seconds: when it was asked.
        deferred: it waits for its evidence, or did; None where it was asked for now.
    """

    live: LiveAnswer
    answer: Answer | None
    num_moments: int
    remembered: bool
    asked_wall_seconds: float
    deferred: Deferred | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStatus:
    """What the engine's thread knows of a stream.

    Attributes:
        stats: of the memory.
        chunk_frames: frames that are folded in together now.
        observed_until_seconds: time of the newest frame that the engine has.
        folded_until_seconds: time of the newest frame in the memory.
        num_lost: frames that could not be folded in or observed.
        num_open_questions: that wait or are being answered.
        watches: what standing questions did and cost.
    """

    stats: SessionStats
    chunk_frames: int
    observed_until_seconds: float | None
    folded_until_seconds: float | None
    num_lost: int
    num_open_questions: int
    watches: WatchesStats


class LiveStream:
    """A stream on the engine; every method belongs to the engine's thread.

    Args:
        handle: of the engine.
        ring: frames that wait for it.
        executor: of the engine, for evidence.
        pictures: of the stream's moments; None keeps none.
        has_ended: is told of each question that is over.
        has_failed: is told why a chunk could not be folded in.
    """

    def __init__(
        self,
        handle: StreamHandle,
        ring: FrameRing,
        *,
        executor: Executor,
        pictures: StreamPictures | None,
        has_ended: Callable[[OpenQuestion], None],
        has_failed: Callable[[Exception], None],
    ) -> None:
        self.handle, self._ring = handle, ring
        self._executor, self._pictures = executor, pictures
        self._has_ended, self._has_failed = has_ended, has_failed
        self._open: list[OpenQuestion] = []
        self._num_refused = 0
        self._try_again_at = -math.inf

    def fill(self) -> bool:
        """Move frames from the ring into the engine, up to a chunk; tell whether any were."""
        if not self._ring.has_frames or not self._is_willing():
            return False
        has_moved = False
        while not self.handle.stream.has_full_chunk and (frame := self._ring.peek()) is not None:
            try:
                self.handle.observe(frame)
            except ValueError as error:
                self._num_refused += 1
                log.info("a frame is left out: %s", error)
            except Exception as error:
                self._note_failure(error)
                return has_moved
            self._ring.remove(frame)
            has_moved = True
        return has_moved

    def _is_willing(self) -> bool:
        """Let a chunk that failed be tried again, after a while; tell whether the engine takes frames."""
        now = time.monotonic()
        if now < self._try_again_at:
            return False
        try:
            self.handle.observe(())
        except Exception as error:
            self._note_failure(error)
            return False
        return True

    def _note_failure(self, error: Exception) -> None:
        self._try_again_at = time.monotonic() + _TRY_AGAIN_SECONDS
        self._has_failed(error)

    def ask(self, live: LiveAnswer, cancel: Callable[[LiveAnswer], None], **choices: Any) -> None:
        """Take a question.

        Args:
            live: what will be read of its answer.
            cancel: gives it up, from any thread.
            **choices: ``num_moments``, ``remembered``, ``wait_seconds`` and ``until`` where it is to wait for
                its evidence, and fields of ``Sampling``.

        Raises:
            CapacityError: question and answer do not fit the room for text.
            VideoError: no frame came yet.
            ValueError: an argument is out of its range.
        """
        num_moments, remembered = choices.pop("num_moments"), choices.pop("remembered")
        choices["steers"] = remembered
        question = OpenQuestion(
            live=live,
            answer=None,
            num_moments=num_moments,
            remembered=remembered,
            asked_wall_seconds=time.time(),
        )
        if isinstance(limit := choices.get("max_new_tokens"), int):
            choices["max_new_tokens"] = min(limit, self._room_for_answer(live))
        if choices.get("wait_seconds") is not None:
            self._defer(question, cancel, choices)
            return
        self._try_again_at = -math.inf
        self._is_willing()  # else the failure of a chunk would be raised as the question's
        self.fill()
        answer = self.handle.ask(live.question, live.options or None, **choices)
        self._take(question, answer, cancel)

    def _room_for_answer(self, live: LiveAnswer) -> int:
        stream = self.handle.stream
        question = Question.phrase(
            stream.model, live.question, live.options or None, text_tokens=stream.text_tokens, answer_tokens=1
        )
        return question.max_answer_tokens

    def _take(self, question: OpenQuestion, answer: Answer, cancel: Callable[[LiveAnswer], None]) -> None:
        question.live.attach(answer, cancel)
        question.live.seen_until_seconds = self.handle.stream.intake.newest_seconds
        self._open.append(replace(question, answer=answer))

    def _defer(
        self, question: OpenQuestion, cancel: Callable[[LiveAnswer], None], choices: dict[str, Any]
    ) -> None:
        """Let a question wait; it is open meanwhile, so that it is counted, and may be given up."""

        def is_over(deferred: Deferred) -> None:
            waiting = next((one for one in self._open if one.live is live), None)
            if waiting is None:  # it was given up
                return
            live.evidence_came()
            self._open.remove(waiting)
            if deferred.answer is not None:
                self._take(waiting, deferred.answer, cancel)
            else:
                live.seen_until_seconds = self.handle.stream.folded_until_seconds
                live.end("not_seen")
                self._has_ended(waiting)

        live = question.live
        live.wait_for_evidence(cancel)
        deferred = self.handle.ask_when(live.question, live.options or None, on_done=is_over, **choices)
        self._open.append(replace(question, deferred=deferred))

    def publish(self) -> None:
        """Hand out what answers have so far, and end those that are done."""
        for question in tuple(self._open):
            if question.answer is not None:
                question.live.follow(question.answer)
                if question.answer.is_done:
                    self._end(question, question.answer)

    def _end(self, question: OpenQuestion, answer: Answer) -> None:
        self._open.remove(question)
        live = question.live
        pictures_of = self._pictures.find_all if self._pictures is not None else _no_pictures
        live.evidence = cite(
            self._executor,
            self.handle.stream,
            answer,
            num_moments=question.num_moments,
            pictures_of=pictures_of,
        )
        live.end(answer.finish_reason or "failed", answer.failure)
        self._has_ended(question)

    def cancel(self, live: LiveAnswer) -> None:
        """Give an answer up; safe to repeat."""
        for question in tuple(self._open):
            if question.live is not live:
                continue
            if question.answer is not None:
                live.follow(question.answer)
                question.answer.close()
                self._end(question, question.answer)
            else:
                self._forget(question)
                live.end("abandoned")
                self._has_ended(question)

    def _forget(self, question: OpenQuestion) -> None:
        """Let a question wait no longer for its evidence; first, so that it is not told to be over twice."""
        self._open.remove(question)
        if question.deferred is not None:
            question.deferred.cancel()

    def lose(self, reason: str) -> None:
        """Tell whoever waits that there will be no answers: the engine has failed, or the stream closes."""
        for question in tuple(self._open):
            self._forget(question)
            question.live.end("failed", ClosedError(reason))
            self._has_ended(question)

    def close(self, reason: str) -> None:
        """Leave the engine."""
        self.lose(reason)
        self.handle.close()

    @property
    def num_open_questions(self) -> int:
        """Questions that wait or are being answered."""
        return len(self._open)

    @property
    def status(self) -> MemoryStatus:
        """What is known of the memory."""
        stream, stats = self.handle.stream, self.handle.stats
        return MemoryStatus(
            stats=stats,
            chunk_frames=stream.chunk_frames,
            observed_until_seconds=stream.intake.newest_seconds,
            folded_until_seconds=stream.folded_until_seconds,
            num_lost=self.handle.num_dropped_frames + stats.num_failed_frames + self._num_refused,
            num_open_questions=len(self._open),
            watches=self.handle.watches.stats,
        )

    @property
    def moments(self) -> tuple[LayerMoments, ...]:
        """Which moments each layer keeps."""
        return layer_moments(self.handle.stream.cache.state())


def _no_pictures(_: Any) -> dict[float, str]:
    return {}
