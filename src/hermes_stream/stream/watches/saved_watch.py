"""A watch's state as plain values, so that nothing is announced twice after a restart."""

from __future__ import annotations

import math
from typing import Any

from hermes_stream.errors import SnapshotError
from hermes_stream.saved import Saved
from hermes_stream.stream.watches.calibration import UsualScores
from hermes_stream.stream.watches.decisions import AlertState, ChoiceState, NewnessState
from hermes_stream.stream.watches.sending import SendingState
from hermes_stream.stream.watches.watch import Watch


def saved_watch(watch: Watch) -> Saved:
    """Return what a watch of the same rules needs to go on; its rules and who listens are not part of it."""
    alert, choice, usual = watch.alert, watch.choice, watch.usual
    return Saved(
        values={
            "question": watch.rules.question,
            "kind": watch.rules.kind,
            "value": watch.value,
            "score": watch.score,
            "is_raised": alert.is_raised,
            "raised_since_seconds": alert.since_seconds,
            "was_given": alert.was_given,
            "num_times": alert.num_times,
            "choice": choice.choice,
            "candidate": choice.candidate,
            "chosen_since_seconds": choice.since_seconds,
            "is_met": watch.is_met,
            "newest": list(watch.newness.newest),
            "usual": list(usual.logprobs),
            "num_looks": usual.num_looks,
            "is_settled": usual.is_settled,
            "sent_seconds": list(watch.sending.sent_seconds),
            "snoozed_until_seconds": watch.sending.snoozed_until_seconds,
            "first_seconds": watch.first_seconds,
            "last_seconds": watch.last_seconds,
            "num_incidents": watch.num_incidents,
            "incident_was_sent": watch.incident_was_sent,
        }
    )


def restore_watch(watch: Watch, saved: Saved) -> None:
    """Let a watch go on where another of the same rules was.

    Raises:
        SnapshotError: what was saved is of another question or kind, or no such state.
    """
    rules, num_answers = watch.rules, watch.num_answers
    if (saved.text("question"), saved.text("kind")) != (rules.question, rules.kind):
        raise SnapshotError(
            f"the state is of the {saved.text('kind')} {saved.text('question')!r}, and the watch is the "
            f"{rules.kind} {rules.question!r}; give each watch its own"
        )
    usual = _numbers(saved, "usual")
    if len(usual) not in (0, num_answers):
        raise SnapshotError(
            f"{saved.path}usual has {len(usual)} numbers, and the question {num_answers} answers; leave the "
            "state out, and the watch begins anew"
        )
    watch.value, watch.score = saved.text("value"), _number(saved, "score")
    watch.alert = AlertState(
        is_raised=saved.boolean("is_raised"),
        since_seconds=_number(saved, "raised_since_seconds"),
        # older states do not say this, nor is_met
        was_given=saved.boolean("was_given") if saved.has("was_given") else rules.given is None,
        num_times=saved.integer("num_times" if saved.has("num_times") else "num_incidents"),
    )
    watch.choice = ChoiceState(
        choice=_index(saved, "choice", num_answers),
        candidate=_index(saved, "candidate", num_answers),
        since_seconds=_number(saved, "chosen_since_seconds"),
    )
    watch.is_met = saved.has("is_met") and saved.boolean("is_met")
    watch.newness = NewnessState(newest=_numbers(saved, "newest"))
    watch.usual = UsualScores(
        logprobs=usual, num_looks=saved.integer("num_looks"), is_settled=saved.boolean("is_settled")
    )
    watch.sending = SendingState(
        sent_seconds=_numbers(saved, "sent_seconds"),
        snoozed_until_seconds=_number(saved, "snoozed_until_seconds"),
    )
    watch.first_seconds = _number(saved, "first_seconds")
    watch.last_seconds = _number(saved, "last_seconds")
    watch.num_incidents = saved.integer("num_incidents")
    watch.incident_was_sent = saved.boolean("incident_was_sent")


def _number(saved: Saved, name: str) -> float | None:
    return saved.number(name) if saved.has(name) else None


def _index(saved: Saved, name: str, count: int) -> int | None:
    return saved.integer(name, most=count - 1) if saved.has(name) else None


def _numbers(saved: Saved, name: str) -> tuple[float, ...]:
    """Return a short list of finite numbers."""
    values: Any = saved.values.get(name)
    is_list = isinstance(values, list | tuple) and len(values) <= 100_000
    if not is_list or not all(type(one) in (int, float) and math.isfinite(one) for one in values):
        raise SnapshotError(f"{saved.path}{name} must be a list of finite numbers; the state is damaged")
    return tuple(values)
