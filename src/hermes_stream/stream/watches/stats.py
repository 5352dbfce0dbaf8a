"""What watches did and cost, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStats:
    """One watch so far.

    Attributes:
        num_asked: looks that it took.
        num_skipped: looks that ``every_seconds`` asked for and no chunk came for in time.
        num_failed: looks that failed; the log says why.
        num_events: events that were sent.
        num_suppressed: events that were not, by reason.
        num_forgotten_events: events that nobody took, and that gave way to newer ones.
        score: of the last look; see ``WatchEvent.score``; None before the first.
        stream_seconds: time of the last look; None before the first.
    """

    num_asked: int
    num_skipped: int
    num_failed: int
    num_events: int
    num_suppressed: dict[str, int]
    num_forgotten_events: int
    score: float | None
    stream_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchesStats:
    """All watches of a stream so far.

    Attributes:
        num_watches: that are open.
        num_asked: looks, those of closed watches too.
        num_skipped: looks that no chunk came for in time.
        num_failed: looks that failed.
        num_polls: times at which watches were asked, together.
        seconds: what they took; of forwards shared with others, the part that their tokens have.
        milliseconds_each: of a look, on average; None before the first.
        share: of the seconds that the stream's chunks and watches took, in [0, 1].
    """

    num_watches: int
    num_asked: int
    num_skipped: int
    num_failed: int
    num_polls: int
    seconds: float
    milliseconds_each: float | None
    share: float
