"""What a service says of its watches, as plain values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hermes_stream.service.watch_settings import WatchSettings
from hermes_stream.stream.watches import WatchStats


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStatus:
    """One standing question, as it is now.

    Attributes:
        id: its number.
        stream: name of its stream.
        settings: what it was made with.
        value: the answer that holds; None before there is one.
        score: how likely that is by the last look.
        since_seconds: since when an alert is on or an option holds, in seconds of the stream; None where
            nothing does.
        snoozed_until_seconds: silence until then, in seconds of the stream.
        failure: why it is not asked; None where it is.
        stats: what it did since the service began; None before its first look.
        warnings: why its answers may mean nothing, in words.
    """

    id: int
    stream: str
    settings: WatchSettings
    value: str | None
    score: float | None
    since_seconds: float | None
    snoozed_until_seconds: float | None
    failure: str | None
    stats: WatchStats | None
    warnings: tuple[str, ...] = ()


def added(past: WatchStats, now: WatchStats) -> WatchStats:
    """Return what one watch did in two places, one after the other."""
    reasons = Counter(past.num_suppressed) + Counter(now.num_suppressed)
    names = ("num_asked", "num_skipped", "num_failed", "num_events", "num_forgotten_events")
    sums = {name: getattr(past, name) + getattr(now, name) for name in names}
    seconds = past.stream_seconds if now.stream_seconds is None else now.stream_seconds
    score = past.score if now.score is None else now.score
    return WatchStats(**sums, num_suppressed=dict(reasons), score=score, stream_seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEvent:
    """What a watch would have told.

    Attributes:
        stream_seconds: when.
        kind: "raised", "cleared", "changed", "counted" or "described".
        value: the answer.
        score: how likely it was.
    """

    stream_seconds: float
    kind: str
    value: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTrial:
    """When a watch would have spoken.

    Attributes:
        fired: what it would have told, oldest first.
        scores: (stream seconds, score) of each look.
        covered_seconds: how much of the stream there was to look at.
        num_frames: that were looked at.
        is_cut: whether there was more than is looked at; the newest was taken.
    """

    fired: tuple[TrialEvent, ...]
    scores: tuple[tuple[float, float], ...]
    covered_seconds: float
    num_frames: int
    is_cut: bool
