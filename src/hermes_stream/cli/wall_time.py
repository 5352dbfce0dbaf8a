"""Moments of the calendar as users write them: 2026-11-26 08:00, 08:00, 2h (ago)."""

from __future__ import annotations

import math
import re
import time
from datetime import datetime

_AGO = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw])(?:\s+ago)?")
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_MAX_SECONDS = 1e11  # a calendar ends


def read_wall_time(text: str, *, now: float | None = None) -> float:
    """Return a moment in seconds since 1970.

    Args:
        text: a date and time (2026-11-26 08:00, with Z or +01:00 where it is not this machine's zone), a day,
            a time of today (08:00), how long ago (30m, 2h, 1d), "now", or seconds since 1970.
        now: seconds since 1970; None asks the clock.

    Raises:
        ValueError: it is no moment.
    """
    now, text = time.time() if now is None else now, text.strip()
    if text == "now":
        return now
    if found := _AGO.fullmatch(text):
        return now - float(found["count"]) * _SECONDS[found["unit"]]
    try:
        if _CLOCK.fullmatch(text):
            day = datetime.fromtimestamp(now)
            return datetime.fromisoformat(
                f"{day:%Y-%m-%d}T{text.zfill(len(text) + (text[1] == ':'))}"
            ).timestamp()
        if re.fullmatch(r"\d{5,}(\.\d+)?", text):
            seconds = float(text)
        else:
            seconds = datetime.fromisoformat(text).timestamp()
        if not (math.isfinite(seconds) and abs(seconds) < _MAX_SECONDS):
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text!r} is no moment; give 2026-11-26 08:00, 08:00, 30m, 2h or 1d (ago), now, or seconds "
            "since 1970"
        ) from None
    return seconds
