"""What a watch has to say, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal["raised", "cleared", "changed", "described", "counted"]
Suppression = Literal[
    "snoozed", "schedule", "cooldown", "max_per_hour", "not_raised", "same", "grouped", "not_nth"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """One thing that a watch noticed.

    Attributes:
        kind: an alert was "raised" or "cleared"; a state "changed"; something new was "described"; a number
            that rose was "counted".
        watch: name of the watch.
        question: what it asks.
        stream_seconds: time in the stream of the newest frame that was read.
        incident: number of the incident that an alert opened, from 1 on, the same where it clears; else of
            the event.
        value: the answer: "yes" or "no", the option, the number, or the text.
        value_before: the answer before; None where there was none.
        score: how likely the answer is, in [0, 1], for an alert that of yes; for a description how new the
            stream was.
        since_seconds: time in the stream since when it has been so; earlier than ``stream_seconds`` where it
            had to hold.
        suppressed: why it is not sent; None where it is.
    """

    kind: EventKind
    watch: str
    question: str
    stream_seconds: float
    incident: int
    value: str
    value_before: str | None
    score: float
    since_seconds: float
    suppressed: Suppression | None = None
