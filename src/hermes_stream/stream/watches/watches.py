"""The standing questions of one stream: which are due, and one forward for all that are scored."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from hermes_stream.errors import CapacityError
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.decoding import Sampling, decode_answer
from hermes_stream.stream.question import Question
from hermes_stream.stream.scoring import NUMBERS, YES_NO, ScoredQuestion, score
from hermes_stream.stream.stream import Stream
from hermes_stream.stream.watches.calibration import UsualScores, score_apart, score_blank
from hermes_stream.stream.watches.deferred import Deferred, check_wait, gate_rules
from hermes_stream.stream.watches.events import WatchEvent
from hermes_stream.stream.watches.likeness import newest_picture
from hermes_stream.stream.watches.newness import newness_since
from hermes_stream.stream.watches.region import Point, cut_out
from hermes_stream.stream.watches.rules import WatchKind, WatchRules
from hermes_stream.stream.watches.stats import WatchesStats
from hermes_stream.stream.watches.watch import Watch
from hermes_stream.stream.work import Work

log = logging.getLogger(__name__)
MAX_WATCHES = 64
Region = tuple[Point, ...] | None
LogprobsOf = dict[ScoredQuestion, tuple[float, ...]]
OnEvent = Callable[[WatchEvent], object]


class Watches:
    """A stream's standing questions.

    A poll is work like any other: it is done right after a chunk was folded, reads the memory, folds nothing
    in and remembers nothing. Events wait until the work is over, so that who listens may ask in turn.

    Args:
        stream: is read.

    Attributes:
        moment_of: turns time in the stream into a moment, for schedules; by default it is now.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._open: list[Watch] = []
        self._deferred: list[Deferred] = []
        self._num_deferred = 0
        self._undelivered: deque[tuple[Watch, WatchEvent]] = deque()
        self._polled_seconds: float | None = None
        self._closed = {"asked": 0, "skipped": 0, "failed": 0}
        self._num_polls = 0
        self._seconds = self._all_seconds = 0.0
        self.moment_of: Callable[[float], datetime] = lambda _: datetime.now(UTC)

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def __iter__(self) -> Iterator[Watch]:
        """Yield those that are open, oldest first."""
        return iter(tuple(self._open))

    def add(
        self, question: str, kind: WatchKind = "alert", *, on_event: OnEvent | None = None, **rules: Any
    ) -> Watch:
        """Ask a question about what was seen so far, and again after each chunk.

        Args:
            question: what is asked, not empty.
            kind: of the watch; see ``WatchRules``.
            on_event: is called with each event that is sent, after the chunk, by whoever observes frames or
                does the engine's steps; None lets events wait for ``Watch.take_events``.
            **rules: fields of ``WatchRules``: every_seconds, raise_at, hold_seconds, ...

        Raises:
            CapacityError: the question does not fit the room for text, or there are as many as there may be.
            ModelError: the vocabulary does not have the answers as words.
            ValueError: an argument is out of its range, or the name is taken.
        """
        made = WatchRules(question=question, kind=kind, **rules)
        if len(self._open) >= MAX_WATCHES:
            raise CapacityError(f"a stream has at most {MAX_WATCHES} watches; close one first")
        if any(one.rules.label == made.label for one in self._open):
            raise ValueError(f"there is a watch named {made.label!r} already; give this one another name=")
        phrased, answers = self._phrase(made)
        if phrased is not None:
            phrased = replace(phrased, newest_seconds=made.newest_seconds)
        conditions = tuple(
            replace(
                self._yes_or_no(made.worded(text)),
                newest_seconds=made.newest_seconds if number < len(made.also) else None,
            )
            for number, text in enumerate(made.conditions)
        )
        watch = Watch(made, phrased, answers, conditions=conditions, on_event=on_event, leave=self._leave)
        self._open.append(watch)
        self._stream.folding.keeps_newest |= made.region is not None
        return watch

    def defer(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        wait_seconds: float,
        ask: Callable[[], Answer],
        until: str | None = None,
        on_done: Callable[[Deferred], object] | None = None,
    ) -> Deferred:
        """Let a question wait for its evidence; it is looked for after each chunk, as by a watch.

        Args:
            question: what is asked.
            options: choices of a multiple-choice question.
            wait_seconds: for how long it waits at most, in seconds of the stream.
            ask: asks it, when its evidence is there.
            until: a question answered by yes or no that tells that; None asks the model (see ``gate_rules``).
            on_done: is called once, when it waits no longer.

        Raises:
            CapacityError: a question does not fit the room for text, or as many watches are open as may be.
            ModelError: the vocabulary does not have the answers as words.
            ValueError: ``wait_seconds`` is not above 0, or a question or the options are none.
        """
        check_wait(wait_seconds)
        Question.phrase(
            self._stream.model, question, options, text_tokens=self._stream.text_tokens, answer_tokens=1
        )
        rules, ready = gate_rules(question, options, until)
        self._num_deferred += 1
        deferred = Deferred(
            question,
            self.add(**rules, name=f"deferred {self._num_deferred}: {question}"),
            ready=ready,
            wait_seconds=wait_seconds,
            now_seconds=self._stream.folded_until_seconds,
            ask=ask,
            on_done=on_done,
        )
        self._deferred.append(deferred)
        return deferred

    def _phrase(self, rules: WatchRules) -> tuple[ScoredQuestion | None, tuple[str, ...]]:
        model, room, text = self._stream.model, self._stream.text_tokens, rules.worded(rules.question)
        if rules.kind == "describe":
            Question.phrase(model, text, None, text_tokens=room, answer_tokens=rules.max_new_tokens)
            return None, ()
        if rules.options is not None:
            options = rules.options
            return ScoredQuestion.of_options(model, text, options, text_tokens=room), options
        if rules.kind == "alert":
            return self._yes_or_no(text), ("yes", "no")
        return ScoredQuestion.of_words(model, text, NUMBERS, text_tokens=room), _DIGITS

    def _yes_or_no(self, text: str) -> ScoredQuestion:
        stream = self._stream
        return ScoredQuestion.of_words(stream.model, text, YES_NO, text_tokens=stream.text_tokens)

    def _leave(self, watch: Watch) -> None:
        if watch in self._open:
            self._open.remove(watch)
            self._stream.folding.keeps_newest = any(one.rules.region is not None for one in self._open)
            for name in self._closed:
                self._closed[name] += getattr(watch.stats, f"num_{name}")

    @property
    def is_due(self) -> bool:
        """Whether a watch is to be asked: it is new, or a chunk was folded since it was."""
        return bool(self._open and self._due(self._stream.folded_until_seconds))

    @property
    def cost_tokens(self) -> int:
        """Tokens of the watches that are due."""
        due = self._due(self._stream.folded_until_seconds)
        questions = _once(one.questions for one in due)
        return sum(question.num_tokens(self._stream.model) for question in questions)

    def _due(self, seconds: float | None) -> list[Watch]:
        if seconds is None:
            return []
        # what looks at a region waits for a picture that came since it was opened
        has_picture = bool(self._stream.folding.newest_frames)
        return [
            one for one in self._open if one.is_due(seconds) and (has_picture or one.rules.region is None)
        ]

    def poll(self) -> Work[None]:
        """Ask the watches that are due; abandoned, it is to be done again.

        What fails is logged and counted: a stream goes on without its watches, too.
        """
        seconds = self._stream.folded_until_seconds
        due = self._due(seconds)
        if seconds is None or not due:
            return
        try:
            yield from self._stream.prepare_context()
            yield from self._score([one for one in due if one.question is not None], seconds)
            yield from self._describe([one for one in due if one.question is None], seconds)
        except Exception:
            log.exception("%d watches could not be asked at %.3f s", len(due), seconds)
            for watch in due:
                if watch.last_seconds != seconds:
                    watch.note_failure(seconds)
        self._polled_seconds = seconds
        self._num_polls += 1

    def _score(self, due: Sequence[Watch], seconds: float) -> Work[None]:
        """Ask all scored watches that read the memory in one forward, and those of each region in one.

        Where yes might begin, its onset is asked in one more.
        """
        if not due:
            return
        yield from self._calibrate(due)
        # the memory first: where a region cannot be read, the others have been asked
        for region in sorted({one.rules.region for one in due}, key=lambda one: one or ()):
            own = [one for one in due if one.rules.region == region]
            found = yield from self._read(region, _once(one.questions for one in own))
            onsets = [(one.onset,) for one in own if one.onset is not None and self._might_begin(one, found)]
            if onsets:
                found |= yield from self._read(region, _once(onsets))
            self._see(own, found, seconds)

    @staticmethod
    def _might_begin(watch: Watch, logprobs_of: LogprobsOf) -> bool:
        own, *conditions = (logprobs_of[one] for one in watch.questions)
        return watch.might_begin(own, conditions)

    def _see(self, due: Sequence[Watch], logprobs_of: LogprobsOf, seconds: float) -> None:
        """Show watches what was read for them."""
        for watch in due:
            own, *conditions = (logprobs_of[one] for one in watch.questions)
            if watch.onset in logprobs_of:
                conditions.append(logprobs_of[watch.onset])
            event = watch.see_scores(
                seconds,
                own,
                is_scheduled=self._allows(watch, seconds),
                conditions=conditions,
                picture=lambda: newest_picture(self._stream.cache),
            )
            self._note(watch, event)

    def _read(self, region: Region, questions: Sequence[ScoredQuestion]) -> Work[LogprobsOf]:
        """Score questions on the memory, or on a region of the newest pictures."""
        stream = self._stream
        if region is None:
            found = yield from score(stream.model, stream.context, questions)
        else:
            frames = [cut_out(frame, region) for frame in stream.folding.newest_frames]
            found = yield from score_apart(stream, questions, frames)
        return dict(zip(questions, found, strict=True))

    def _calibrate(self, due: Sequence[Watch]) -> Work[None]:
        """Look at a blank picture for the watches that want that, once."""
        new = [one for one in due if one.rules.calibrate == "blank" and not one.usual.is_settled]
        size = self._stream.folding.newest_size
        if not new or size is None:
            return
        questions = _once(one.questions for one in new)
        found = yield from score_blank(self._stream, questions, size)
        logprobs_of = dict(zip(questions, found, strict=True))
        for watch in new:
            if watch.question is not None:
                watch.usual = UsualScores().with_look(logprobs_of[watch.question]).settled

    def _describe(self, due: Sequence[Watch], seconds: float) -> Work[None]:
        if not due:
            return
        newness = newness_since(self._stream.cache, self._polled_seconds)
        for watch in due:
            # a description that is abandoned for a person's question leaves the watch due
            text = (yield from self._answer(watch.rules)) if watch.is_worth_describing(newness) else None
            watch.see_newness(seconds, newness)
            if text is not None:
                event = watch.see_text(seconds, text, is_scheduled=self._allows(watch, seconds))
                self._note(watch, event)

    def _answer(self, rules: WatchRules) -> Work[str]:
        stream, limit = self._stream, rules.max_new_tokens
        question = Question.phrase(
            stream.model,
            rules.worded(rules.question),
            None,
            text_tokens=stream.text_tokens,
            answer_tokens=limit,
        )
        sampling = Sampling(max_new_tokens=limit)
        return (
            yield from decode_answer(
                stream.model,
                stream.context,
                question,
                Answer(rules.question),
                sampling=sampling,
            )
        )

    def _allows(self, watch: Watch, seconds: float) -> bool:
        schedule = watch.rules.schedule
        return schedule is None or schedule.allows(self.moment_of(seconds))

    def _note(self, watch: Watch, event: WatchEvent | None) -> None:
        if event is not None and event.suppressed is None:
            self._undelivered.append((watch, event))

    def deliver(self) -> None:
        """Give events to whoever listens; no work of this stream may be going on."""
        while self._undelivered:
            watch, event = self._undelivered.popleft()
            watch.deliver(event)
        for one in tuple(self._deferred):
            one.look()
        self._deferred = [one for one in self._deferred if one.state == "waiting"]

    def give_up(self) -> None:
        """Cancel the questions that wait: no frames will come."""
        for one in self._deferred:
            one.cancel()
        self._deferred.clear()

    def spend(self, seconds: float, *, is_watching: bool) -> None:
        """Count what chunks or watches took."""
        self._all_seconds += seconds
        if is_watching:
            self._seconds += seconds

    def ask_now(self) -> None:
        """Ask what is due, and tell, where one stream has the model for itself."""
        if self.is_due:
            with self.timing(is_watching=True):
                self._stream.executor.run(self.poll())
            self.deliver()

    @contextmanager
    def timing(self, *, is_watching: bool) -> Iterator[None]:
        """Count what chunks or watches take inside."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spend(time.perf_counter() - began, is_watching=is_watching)

    @property
    def stats(self) -> WatchesStats:
        """What they did and cost."""
        total = dict(self._closed)
        for watch in self._open:
            for name in total:
                total[name] += getattr(watch.stats, f"num_{name}")
        return WatchesStats(
            num_watches=len(self._open),
            num_asked=total["asked"],
            num_skipped=total["skipped"],
            num_failed=total["failed"],
            num_polls=self._num_polls,
            seconds=self._seconds,
            milliseconds_each=1000 * self._seconds / total["asked"] if total["asked"] else None,
            share=self._seconds / self._all_seconds if self._all_seconds else 0.0,
        )


def _once(asked: Iterable[Sequence[ScoredQuestion]]) -> list[ScoredQuestion]:
    """Return what watches ask, each question once: several may have rules of their own for one."""
    return list(dict.fromkeys(chain.from_iterable(asked)))


_DIGITS = tuple(digits for digits, _ in NUMBERS)
