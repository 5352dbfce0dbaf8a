"""Moments at which a watch should speak; of changes of place also those at which it need not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LOOK_SECONDS = 1.0
"""How often a watch looks, and for how long a place must show to be seen for sure."""
_SLACK_SECONDS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One moment at which a watch should speak.

    Attributes:
        seconds: the first moment at which it is true.
        value: the answer, where it is one of several.
    """

    seconds: float
    value: str | None = None


def changes_of_place(
    seen: Sequence[tuple[float, str]], *, picture_seconds: float
) -> tuple[tuple[Happening, ...], tuple[Happening, ...]]:
    """Return the changes that are due, and those that may be told and need not be.

    What shows in a place for less than ``LOOK_SECONDS`` may pass between two looks: that need not be told,
    nor what would then be none: to be where it was before, or where a look may have seen it shortly. The
    first place is what a watch begins with, and no change.

    Args:
        seen: seconds and place of each picture that shows it, earliest first.
        picture_seconds: from one picture to the next.
    """
    due, brief = list[Happening](), list[Happening]()
    known: set[str] | None = None  # what a watch may hold; before a place lasted, anything
    for number, (place, begins, num_pictures) in enumerate(_stretches(seen, picture_seconds)):
        lasts = num_pictures * picture_seconds >= LOOK_SECONDS - _SLACK_SECONDS
        if number and known != {place}:
            is_due = lasts and known is not None and place not in known
            (due if is_due else brief).append(Happening(seconds=begins, value=place))
        if lasts:
            known = {place}
        elif known is not None:
            known.add(place)
    return tuple(due), tuple(brief)


def _stretches(seen: Sequence[tuple[float, str]], picture_seconds: float) -> list[tuple[str, float, int]]:
    """Return place, first moment and pictures of each stretch that shows something in one place."""
    found: list[tuple[str, float, int]] = []
    before = None
    for seconds, place in seen:
        is_next = before is not None and seconds - before < picture_seconds + _SLACK_SECONDS
        if is_next and found[-1][0] == place:
            found[-1] = (place, found[-1][1], found[-1][2] + 1)
        else:
            found.append((place, float(seconds), 1))
        before = seconds
    return found
