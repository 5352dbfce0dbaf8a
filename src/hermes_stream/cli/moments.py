"""Moments of a video as users write them: 90, 1:30, 0:01:30."""

from __future__ import annotations

import re

_CLOCK = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?|\.\d+)")
_MAX_BELOW_LARGER_UNIT = 60


def read_moment(text: str) -> float:
    """Return the seconds that a moment is after the start: of 90, 1:30, 0:01:30 alike 90.

    Args:
        text: seconds, minutes:seconds or hours:minutes:seconds; seconds may have decimals.

    Raises:
        ValueError: it is no moment.
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is no time in a video; give seconds from its start (90), or a clock (1:30, 0:01:30)"
        )
    hours, minutes, seconds = (float(found[unit] or 0) for unit in ("hours", "minutes", "seconds"))
    if (found["hours"] and minutes >= _MAX_BELOW_LARGER_UNIT) or (
        found["minutes"] and seconds >= _MAX_BELOW_LARGER_UNIT
    ):
        raise ValueError(f"{text!r} is no time in a video: behind a colon, 0 to 59 are accepted")
    return 3600 * hours + 60 * minutes + seconds


def split_moment(line: str) -> tuple[float | None, str]:
    """Split a line such as ``0:12 what came first?`` into its time and the question.

    Args:
        line: what was typed.

    Returns:
        The time in seconds, None where the line begins with none; and the rest of the line.
    """
    first, _, rest = line.strip().partition(" ")
    if rest.strip():
        try:
            return read_moment(first), rest.strip()
        except ValueError:
            pass
    return None, line.strip()
