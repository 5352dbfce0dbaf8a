"""Where a stream is cut into chapters: where it became new, and not too close together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_CHAPTERS = 24
_QUIET, _BUSY = 0.25, 0.75
_TIMES_QUIET = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A moment at which a chapter may begin.

    Attributes:
        seconds: when, in seconds of the stream.
        newness: how new the stream was, in [0, 1].
    """

    seconds: float
    newness: float


def usual_newness(values: Sequence[float]) -> float:
    """Return how new a stream must be to stand out from what is usual in it; 0 where nothing is known.

    Of a busy stream that is what three moments of four are not; where nothing happens, noise is all there is,
    and several times as much as in its quiet moments is asked for.
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    quiet, busy = (ordered[int(share * (len(ordered) - 1))] for share in (_QUIET, _BUSY))
    return max(busy, _TIMES_QUIET * quiet)


def choose_beginnings(
    candidates: Sequence[Beginning],
    *,
    from_seconds: float,
    to_seconds: float,
    min_chapter_seconds: float,
    max_chapters: int = MAX_CHAPTERS,
    at_least: float = 0.0,
) -> tuple[Beginning, ...]:
    """Choose where chapters begin behind the first: the newest moments, apart from each other.

    Args:
        candidates: in any order.
        from_seconds: where the first chapter begins.
        to_seconds: where the last one ends.
        min_chapter_seconds: of each chapter, at least.
        max_chapters: with the first.
        at_least: what is less new begins no chapter.

    Returns:
        The beginnings in order of time.
    """
    chosen: list[Beginning] = []
    borders = [from_seconds, to_seconds]
    for one in sorted(candidates, key=lambda one: (-one.newness, one.seconds)):
        if len(chosen) >= max_chapters - 1 or one.newness < at_least:
            break
        is_inside = from_seconds < one.seconds < to_seconds
        if is_inside and all(abs(one.seconds - border) >= min_chapter_seconds for border in borders):
            chosen.append(one)
            borders.append(one.seconds)
    return tuple(sorted(chosen, key=lambda one: one.seconds))
