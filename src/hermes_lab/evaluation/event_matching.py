"""Events that were told against the moments at which they were due: one to one, within a tolerance.

Nothing here knows of models, videos or watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE_SECONDS = 2.0
_SLACK_SECONDS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that was due, or that was told.

    Attributes:
        seconds: when, from the start of the video.
        value: what; None where only the time counts.
    """

    seconds: float
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """What became of what was due, and of what was told.

    Attributes:
        delays_seconds: from each moment at which something was due to when it was told, where it was.
        num_missed: moments at which nothing was told in time.
        num_early: false ones told before a moment that was missed, nearer to it than to any other such.
        num_late: the same, told after its tolerance.
        num_invented: false ones of which no moment was missed.
    """

    delays_seconds: tuple[float, ...]
    num_missed: int
    num_early: int
    num_late: int
    num_invented: int

    @property
    def num_right(self) -> int:
        """Moments at which it was told in time."""
        return len(self.delays_seconds)

    @property
    def num_false(self) -> int:
        """What was told and not due."""
        return self.num_early + self.num_late + self.num_invented


def match_events(
    due: Sequence[Told],
    told: Sequence[Told],
    *,
    optional: Sequence[Told] = (),
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> Matching:
    """Match what was told with what was due, as many pairs as can be.

    A pair has the same value, and is told at the moment or within the tolerance after it: what is told before
    was not known. Each is in one pair at most.

    Args:
        due: what should have been told.
        told: what was.
        optional: what may be told and need not be: with it, what is not due is not false either.
        tolerance_seconds: how much later it may be.
    """
    left = sorted(told, key=lambda one: one.seconds)
    delays, missed = [], []
    # Windows are of one length: the earliest moment takes the earliest that fits; no other choice is better.
    for one in sorted(due, key=lambda one: one.seconds):
        found = next((other for other in left if _fits(one, other, tolerance_seconds)), None)
        if found is None:
            missed.append(one.seconds)
        else:
            left.remove(found)
            delays.append(max(found.seconds - one.seconds, 0.0))
    for one in optional:
        found = next((other for other in left if _fits(one, other, tolerance_seconds)), None)
        if found is not None:
            left.remove(found)
    nearest = [min(missed, key=lambda moment: abs(moment - other.seconds), default=None) for other in left]
    early = sum(
        moment is not None and other.seconds < moment for other, moment in zip(left, nearest, strict=True)
    )
    return Matching(
        delays_seconds=tuple(delays),
        num_missed=len(missed),
        num_early=early,
        num_late=len(left) - early if missed else 0,
        num_invented=0 if missed else len(left),
    )


def _fits(due: Told, told: Told, tolerance_seconds: float) -> bool:
    delay = told.seconds - due.seconds
    in_time = -_SLACK_SECONDS <= delay <= tolerance_seconds + _SLACK_SECONDS
    return in_time and (told.value is None or due.value is None or told.value == due.value)
