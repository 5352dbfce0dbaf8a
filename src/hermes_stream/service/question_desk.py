"""Questions to a service: admitted or refused, handed to the engine's thread, and recorded at their end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from threading import Lock
from typing import Any

from hermes_stream.errors import OverloadedError
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.service.live_answer import LiveAnswer
from hermes_stream.service.live_stream import OpenQuestion
from hermes_stream.service.question_log import AskedQuestion, QuestionLog
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.settings import ServiceSettings

MAX_NEW_TOKENS = 256
_FIRST_GUESS_SECONDS = 1.0
_NEWEST = 0.2


class QuestionDesk:
    """Admits as many questions as may be open at once. Threads may share it.

    Args:
        thread: of the engine.
        log: where questions are recorded.
        settings: of the service.
    """

    def __init__(self, thread: EngineThread, log: QuestionLog, settings: ServiceSettings) -> None:
        self._thread, self._log, self._settings = thread, log, settings
        self._lock = Lock()
        self._open: Counter[int] = Counter()
        self._answer_seconds = _FIRST_GUESS_SECONDS

    @property
    def num_open(self) -> int:
        """Questions that wait or are being answered."""
        with self._lock:
            return self._open.total()

    def ask(
        self,
        served: ServedStream,
        question: str,
        options: Sequence[str] | None,
        *,
        num_moments: int,
        remember: bool,
        sampling: dict[str, Any],
    ) -> LiveAnswer:
        """Ask about a stream; see ``Service.ask``."""
        self._check_length(question, options)
        if num_moments < 0:
            raise ValueError(f"num_moments must be 0 or more, got {num_moments}")
        if not isinstance(sampling.get("stop", ()), str):
            sampling["stop"] = tuple(sampling.get("stop", ()))
        sampling["max_new_tokens"] = self._max_new_tokens(sampling.get("max_new_tokens"))
        live = LiveAnswer(served.row.name, question, options or ())
        self._admit(served)
        try:
            self._thread.run(
                lambda _: self._hand_over(
                    served, live, num_moments=num_moments, remembered=remember, **sampling
                )
            )
        except BaseException:
            self._release(served)
            raise
        return live

    def _max_new_tokens(self, asked_for: int | None) -> int | None:
        """Return how many tokens an answer may have; None is what room there is, up to the usual number."""
        most = self._settings.max_new_tokens
        if asked_for is None:
            return None if most >= MAX_NEW_TOKENS else most
        return min(asked_for, most) if isinstance(asked_for, int) else asked_for

    def _hand_over(self, served: ServedStream, live: LiveAnswer, **choices: Any) -> None:
        served.require_live().ask(live, lambda answer: self._cancel(served, answer), **choices)

    def _cancel(self, served: ServedStream, live: LiveAnswer) -> None:
        def cancel(_: Any) -> None:
            if served.live is not None:
                served.live.cancel(live)

        self._thread.submit(cancel)

    def _check_length(self, question: str, options: Sequence[str] | None) -> None:
        texts = [question, *(options or ())]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("question and options must be texts")
        length, most = sum(map(len, texts)), self._settings.max_question_characters
        if length > most:
            raise ValueError(
                f"question and options have {length} characters, and max_question_characters is {most}; ask "
                "a shorter question"
            )

    def _admit(self, served: ServedStream) -> None:
        settings, number = self._settings, served.row.id
        with self._lock:
            total, own = self._open.total(), self._open[number]
            if total < settings.max_questions and own < settings.max_questions_per_stream:
                self._open[number] += 1
                return
            retry = self._answer_seconds
        raise OverloadedError(
            f"{own} questions of stream {served.row.name!r} and {total} of all streams are open; at most "
            f"{settings.max_questions_per_stream} and {settings.max_questions} may be; ask again in "
            f"{retry:.1f} s",
            retry_after_seconds=retry,
        )

    def _release(self, served: ServedStream) -> None:
        with self._lock:
            self._open[served.row.id] -= 1
            if self._open[served.row.id] <= 0:
                del self._open[served.row.id]

    def has_ended(self, served: ServedStream, question: OpenQuestion) -> None:
        """Record a question that is over; in the engine's thread."""
        self._release(served)
        live, now = question.live, time.time()
        if served.row.is_temporary:
            return
        if question.deferred is None:
            took = max(0.05, now - question.asked_wall_seconds)
            self._answer_seconds += _NEWEST * (took - self._answer_seconds)
        self._log.add(
            AskedQuestion(
                stream_id=served.row.id,
                epoch=served.row.epoch,
                answer_id=live.id,
                asked_wall_seconds=question.asked_wall_seconds,
                pts_seconds=live.seen_until_seconds,
                question=live.question,
                options=live.options,
                remembered=question.remembered,
                answer=live.text_so_far,
                option_index=live.option_index,
                finish_reason=live.finish_reason or "failed",
                failure=None if live.failure is None else str(live.failure),
                num_tokens=len(live.token_ids),
                ttft_seconds=live.ttft_seconds or None,
                ttft_with_pending_seconds=live.ttft_with_pending_seconds or None,
                confidence=live.confidence,
                evidence=tuple(asdict(moment) for moment in live.evidence),
                guess=live.guess,
            )
        )
        served.tell(
            "answered",
            pts_seconds=live.seen_until_seconds,
            picture=next((moment.picture for moment in live.evidence if moment.picture), None),
            question=live.question,
            answer=live.text_so_far,
            finish_reason=live.finish_reason,
            ttft_seconds=live.ttft_seconds,
            confidence=live.confidence,
            **({"clarification": True, "guess": live.guess} if live.clarification else {}),
            **({"unseen": True} if live.unseen else {}),
        )
