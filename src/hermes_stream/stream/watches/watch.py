"""One standing question: what it has seen, and what it had to say."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from hermes_stream.stream.scoring import ScoredQuestion, probabilities
from hermes_stream.stream.watches.calibration import START_SECONDS, UsualScores
from hermes_stream.stream.watches.decisions import (
    AlertState,
    ChoiceState,
    NewnessState,
    decide_alert,
    decide_choice,
    decide_newness,
)
from hermes_stream.stream.watches.events import EventKind, Suppression, WatchEvent
from hermes_stream.stream.watches.likeness import SeenPicture, likeness
from hermes_stream.stream.watches.rules import LIKELY, SURE, WatchRules
from hermes_stream.stream.watches.sending import SendingState, decide_sending
from hermes_stream.stream.watches.stats import WatchStats

log = logging.getLogger(__name__)
_MAX_EVENTS = 256
_EARLY = 0.1
"""How much earlier than due a look may be, as a share of the time between two: cameras jitter."""


class Watch:
    """A standing question of one stream; made by ``Session.watch`` and ``StreamHandle.watch``.

    Args:
        rules: what is asked, and when its answer is told.
        question: as the model reads it; None for a description.
        answers: what its answers are called; none for a description.
        conditions: what is asked besides, as the model reads it; see ``WatchRules.conditions``.
        on_event: is called with each event that is sent; None lets them wait for ``take_events``.
        leave: takes the watch out of its stream.

    Attributes:
        rules: what is asked, and when its answer is told.
        question: as the model reads it; None for a description.
        conditions: what is asked besides, likewise.
        value: the answer that holds: "yes" or "no", an option, a number, the last description; None before.
        score: how likely that is by the last look; see ``WatchEvent.score``.
        is_met: whether what must be so besides, for a state, was so at the last look.
    """

    def __init__(
        self,
        rules: WatchRules,
        question: ScoredQuestion | None,
        answers: tuple[str, ...],
        *,
        conditions: tuple[ScoredQuestion, ...] = (),
        on_event: Callable[[WatchEvent], object] | None,
        leave: Callable[[Watch], None],
    ) -> None:
        self.rules, self.question, self._answers = rules, question, answers
        self.conditions = conditions
        self._on_event, self._leave = on_event, leave
        self.value: str | None = None
        self.score: float | None = None
        self.alert, self.newness = AlertState(was_given=rules.given is None), NewnessState()
        self.sending = SendingState()
        self.is_met = False
        # what came is counted from none on
        self.choice = ChoiceState(choice=0 if rules.kind == "count" else None)
        self.usual = UsualScores(is_settled=rules.calibrate == "none")
        self.first_seconds: float | None = None
        self.last_seconds: float | None = None
        self.num_incidents = 0
        self.incident_was_sent = False
        self._sent_picture: SeenPicture | None = None
        self._events: deque[WatchEvent] = deque(maxlen=_MAX_EVENTS)
        self._counts: Counter[str] = Counter()
        self._suppressed: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"Watch({self.rules.label!r}, kind={self.rules.kind!r}, value={self.value!r})"

    @property
    def questions(self) -> tuple[ScoredQuestion, ...]:
        """What is scored for it at each look: all but the onset, which matters at few."""
        if self.question is None:
            return ()
        return (self.question, *self.conditions[: len(self.conditions) - (self.onset is not None)])

    @property
    def onset(self) -> ScoredQuestion | None:
        """What is scored besides where yes might begin."""
        return None if self.rules.onset is None else self.conditions[-1]

    @property
    def num_answers(self) -> int:
        """Answers that are scored; 0 for a description."""
        return len(self._answers)

    def close(self) -> None:
        """Ask no more; safe to repeat."""
        self._leave(self)

    def snooze(self, until_seconds: float | None) -> None:
        """Send nothing before a time in the stream; what is noticed until then is counted.

        Args:
            until_seconds: time in the stream; None sends again from now on.
        """
        self.sending = replace(self.sending, snoozed_until_seconds=until_seconds)

    def take_events(self) -> list[WatchEvent]:
        """Return the events that were sent since the last call, oldest first; the newest 256 wait."""
        events = list(self._events)
        self._events.clear()
        return events

    @property
    def stats(self) -> WatchStats:
        """What it did so far."""
        return WatchStats(
            num_asked=self._counts["asked"],
            num_skipped=self._counts["skipped"],
            num_failed=self._counts["failed"],
            num_events=self._counts["events"],
            num_suppressed=dict(self._suppressed),
            num_forgotten_events=self._counts["forgotten"],
            score=self.score,
            stream_seconds=self.last_seconds,
        )

    def is_due(self, seconds: float) -> bool:
        """Tell whether it is to be asked at a time in the stream."""
        if self.last_seconds is None:
            return True
        every = self.rules.every_seconds or 0.0
        return seconds - self.last_seconds >= every * (1 - _EARLY) and seconds > self.last_seconds

    def note_look(self, seconds: float) -> None:
        """Count a look, and those that should have been before it."""
        every = self.rules.every_seconds
        if every and self.last_seconds is not None:
            self._counts["skipped"] += max(round((seconds - self.last_seconds) / every) - 1, 0)
        self._counts["asked"] += 1
        self.first_seconds = seconds if self.first_seconds is None else self.first_seconds
        self.last_seconds = seconds

    def note_failure(self, seconds: float) -> None:
        """Count a look that failed; the next is at its own time."""
        self.note_look(seconds)
        self._counts["failed"] += 1

    def might_begin(self, logprobs: tuple[float, ...], conditions: Sequence[tuple[float, ...]] = ()) -> bool:
        """Tell whether yes begins at this look if its onset is likely, so that the onset must be asked.

        Args:
            logprobs: of the answers.
            conditions: logarithms of yes and no for each of ``conditions`` before the onset.
        """
        if self.alert.is_raised or self.alert.since_seconds is not None or not self.alert.was_given:
            return False
        # what is usual may be settled by this very look
        return (
            not self.usual.is_settled or self._yes(self._scores(logprobs), conditions) >= self.rules.raises_at
        )

    def _scores(self, logprobs: tuple[float, ...]) -> tuple[float, ...]:
        return probabilities(logprobs, usual=self.usual.logprobs if self.usual.is_settled else None)

    def _yes(self, scores: tuple[float, ...], conditions: Sequence[tuple[float, ...]]) -> float:
        """Return how likely an alert's yes is: the least of it and of what must be so as well."""
        also = (probabilities(one)[0] for one in conditions[: len(self.rules.also)])
        return min([scores[self._answers.index(self.rules.answer or "yes")], *also])

    def see_scores(
        self,
        seconds: float,
        logprobs: tuple[float, ...],
        *,
        is_scheduled: bool,
        conditions: Sequence[tuple[float, ...]] = (),
        picture: Callable[[], SeenPicture | None] = lambda: None,
    ) -> WatchEvent | None:
        """Take the answer to a scored question; return what there is to say, suppressed or not.

        Args:
            seconds: time in the stream.
            logprobs: of the answers.
            is_scheduled: whether the schedule allows to speak.
            conditions: logarithms of yes and no for each of ``conditions``; the onset's is there at least
                where yes might begin.
            picture: returns what the model saw last.
        """
        self.note_look(seconds)
        self._learn_start(seconds, logprobs)
        scores = self._scores(logprobs)
        likely = [probabilities(one)[0] for one in conditions]
        also = likely[: len(self.rules.also)]
        score = self._yes(scores, conditions) if self.rules.kind == "alert" else max(scores)
        if not self.usual.is_settled:
            self.score = score
            return None
        if self.rules.kind == "alert":
            return self._see_alert(
                seconds,
                score,
                is_given=self.rules.given is None or likely[len(also)] >= LIKELY,
                may_begin=self.rules.onset is None
                or (len(conditions) == len(self.rules.conditions) and likely[-1] >= LIKELY),
                is_scheduled=is_scheduled,
                picture=picture,
            )
        # what surely began lasts while it is likelier than not: one unsure look is no end
        self.is_met = min(also, default=1.0) >= (LIKELY if self.is_met else SURE)
        if not self.is_met:
            return None
        return self._see_choice(seconds, scores, is_scheduled=is_scheduled)

    def _learn_start(self, seconds: float, logprobs: tuple[float, ...]) -> None:
        if self.rules.calibrate != "start" or self.usual.is_settled:
            return
        assert self.first_seconds is not None
        if seconds - self.first_seconds < START_SECONDS or not self.usual.num_looks:
            self.usual = self.usual.with_look(logprobs)
        else:
            self.usual = self.usual.settled

    def _see_alert(
        self,
        seconds: float,
        score: float,
        *,
        is_given: bool,
        may_begin: bool,
        is_scheduled: bool,
        picture: Callable[[], SeenPicture | None],
    ) -> WatchEvent | None:
        """Take how likely yes is, and what must be so where it begins: what is given, and the onset."""
        rules, before = self.rules, self.alert
        self.score = score
        self.alert = decide_alert(
            before,
            seconds=seconds,
            score=score,
            raise_at=rules.raises_at,
            clear_at=rules.clears_at,
            hold_seconds=rules.hold_seconds,
            is_given=is_given or (rules.keeps_given and before.was_given),
            may_begin=may_begin,
        )
        value_before, self.value = self.value, "yes" if self.alert.is_raised else "no"
        if self.alert.is_raised == before.is_raised:
            return None
        if not self.alert.is_raised:
            reason: Suppression | None = None if self.incident_was_sent else "not_raised"
            return self._event("cleared", seconds, value_before=value_before, reason=reason)
        self.num_incidents += 1
        is_told = rules.nth in (None, self.alert.num_times)
        reason = self._send_new(seconds, is_scheduled=is_scheduled, picture=picture) if is_told else "not_nth"
        self.incident_was_sent = reason is None
        since = self.alert.since_seconds
        return self._event("raised", seconds, value_before=value_before, since_seconds=since, reason=reason)

    def _see_choice(
        self, seconds: float, scores: tuple[float, ...], *, is_scheduled: bool
    ) -> WatchEvent | None:
        before = self.choice
        self.choice = decide_choice(
            before,
            seconds=seconds,
            scores=scores,
            raise_at=self.rules.raises_at,
            hold_seconds=self.rules.hold_seconds,
            only_rises=self.rules.kind == "count",
        )
        chosen = self.choice.choice
        self.score = max(scores) if chosen is None else scores[chosen]
        value_before, self.value = self.value, None if chosen is None else self._answers[chosen]
        # the first answer of a state is what it begins with, and no change
        if chosen == before.choice or before.choice is None:
            return None
        self.num_incidents += 1
        kind: EventKind = "counted" if self.rules.kind == "count" else "changed"
        return self._event(
            kind,
            seconds,
            value_before=value_before,
            since_seconds=self.choice.since_seconds,
            reason=self._send(seconds, is_scheduled=is_scheduled),
        )

    def is_worth_describing(self, newness: float) -> bool:
        """Tell whether a chunk is new enough, without taking it."""
        quantile = self.rules.newness_quantile
        return decide_newness(self.newness, newness=newness, quantile=quantile).is_new

    def see_newness(self, seconds: float, newness: float) -> None:
        """Take how new a chunk is."""
        self.note_look(seconds)
        self.score = newness
        self.newness = decide_newness(self.newness, newness=newness, quantile=self.rules.newness_quantile)

    def see_text(self, seconds: float, text: str, *, is_scheduled: bool) -> WatchEvent:
        """Take a description; return what there is to say, suppressed or not."""
        value_before, self.value = self.value, text.strip()
        self.num_incidents += 1
        is_same = self.value == value_before
        reason: Suppression | None = "same" if is_same else self._send(seconds, is_scheduled=is_scheduled)
        return self._event("described", seconds, value_before=value_before, reason=reason)

    def _send_new(
        self, seconds: float, *, is_scheduled: bool, picture: Callable[[], SeenPicture | None]
    ) -> Suppression | None:
        """Send an alert unless its picture is that of the last one that was sent."""
        limit = self.rules.group_above
        seen = None if limit is None else picture()
        before = self._sent_picture
        if limit is not None and seen and before and likeness(seen, before) >= limit:
            return "grouped"
        reason = self._send(seconds, is_scheduled=is_scheduled)
        if reason is None:
            self._sent_picture = seen
        return reason

    def _send(self, seconds: float, *, is_scheduled: bool) -> Suppression | None:
        self.sending, reason = decide_sending(
            self.sending,
            seconds=seconds,
            cooldown_seconds=self.rules.cooldown_seconds,
            max_per_hour=self.rules.max_per_hour,
            is_scheduled=is_scheduled,
        )
        return reason

    def _event(
        self,
        kind: EventKind,
        seconds: float,
        *,
        value_before: str | None,
        since_seconds: float | None = None,
        reason: Suppression | None,
    ) -> WatchEvent:
        event = WatchEvent(
            kind=kind,
            watch=self.rules.label,
            question=self.rules.question,
            stream_seconds=seconds,
            incident=self.num_incidents,
            value=self.value or "",
            value_before=value_before,
            score=self.score or 0.0,
            since_seconds=seconds if since_seconds is None else since_seconds,
            suppressed=reason,
        )
        if reason is not None:
            self._suppressed[reason] += 1
            log.info("watch %r: %s at %.3f s is not sent: %s", event.watch, kind, seconds, reason)
        return event

    def deliver(self, event: WatchEvent) -> None:
        """Give an event to whoever listens, or let it wait."""
        self._counts["events"] += 1
        if self._on_event is None:
            self._counts["forgotten"] += len(self._events) == _MAX_EVENTS
            self._events.append(event)
            return
        try:
            self._on_event(event)
        except Exception:
            # the camera goes on, whatever is wrong with who is told
            log.exception("what listens to watch %r failed", self.rules.label)
