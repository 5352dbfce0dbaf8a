"""When a source is watched: days and hours, in the camera's time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import final
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?:(?P<days>[a-z, -]+?)\s+)?(?P<start>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)")
_MAX_WINDOWS = 50
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some hours of some days.

    Attributes:
        days: on which it begins, 0 for Monday.
        start_minutes: of the day, when it begins.
        end_minutes: of the day, when it ends; over midnight where it is not later.
    """

    days: frozenset[int]
    start_minutes: int
    end_minutes: int

    def holds(self, weekday: int, minutes: float) -> bool:
        """Tell whether a moment of the week lies in it.

        Args:
            weekday: 0 for Monday.
            minutes: since midnight.
        """
        if self.end_minutes > self.start_minutes:
            return weekday in self.days and self.start_minutes <= minutes < self.end_minutes
        began_today = weekday in self.days and minutes >= self.start_minutes
        return began_today or ((weekday - 1) % 7 in self.days and minutes < self.end_minutes)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Hours of the week, on the clock on the wall: they stay when summer time begins or ends.

    Attributes:
        windows: outside all of them nothing is watched.
        time_zone: whose clock; None for this machine's.
    """

    windows: tuple[Window, ...]
    time_zone: tzinfo | None

    @classmethod
    def parse(cls, text: str, *, time_zone: str | None = None) -> Schedule:
        """Read a schedule.

        Args:
            text: days and hours, windows separated by semicolons: ``mon-fri 08:00-18:00; sat 22:00-06:00``;
                without days it is every day's. A window that ends at or before its start goes over midnight.
            time_zone: a name such as ``Europe/Berlin``; None for this machine's.

        Raises:
            ValueError: the text is no schedule, or nobody knows the time zone.
        """
        parts = [part.strip().lower() for part in text.split(";") if part.strip()]
        if not 1 <= len(parts) <= _MAX_WINDOWS:
            raise ValueError(f"schedule {text!r} has {len(parts)} windows; accepted: 1 to {_MAX_WINDOWS}")
        try:
            zone = None if time_zone is None else ZoneInfo(time_zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"time_zone is {time_zone!r}, which is not known here; accepted: a name such as "
                "Europe/Berlin, America/New_York or UTC"
            ) from error
        return cls(windows=tuple(_window(part, text) for part in parts), time_zone=zone)

    def is_on(self, wall_seconds: float) -> bool:
        """Tell whether the source is watched at a moment, in seconds since 1970."""
        local = datetime.fromtimestamp(wall_seconds, tz=UTC).astimezone(self.time_zone)
        minutes = local.hour * 60 + local.minute + local.second / 60
        return any(window.holds(local.weekday(), minutes) for window in self.windows)

    def next_change(self, wall_seconds: float) -> datetime | None:
        """Return when watching begins or ends next after a moment, None if it never does."""
        is_on = self.is_on(wall_seconds)
        minute = datetime.fromtimestamp(wall_seconds // 60 * 60, tz=UTC)
        for _ in range(8 * _DAY_MINUTES):
            minute += timedelta(minutes=1)
            if self.is_on(minute.timestamp()) != is_on:
                return minute.astimezone(self.time_zone)
        return None


def _window(part: str, text: str) -> Window:
    match = _WINDOW.fullmatch(part)
    days = None if match is None else _days(match["days"])
    times = [] if match is None else [_minutes(match[name]) for name in ("start", "end")]
    if days is None or len(times) != 2 or None in times:
        raise ValueError(
            f"schedule {text!r}: {part!r} is no window; accepted: days and hours such as "
            "mon-fri 08:00-18:00 or sat,sun 22:00-06:00, or hours alone for every day"
        )
    start_minutes, end_minutes = (minutes or 0 for minutes in times)
    return Window(days=days, start_minutes=start_minutes, end_minutes=end_minutes)


def _minutes(clock: str) -> int | None:
    hours, minutes = map(int, clock.split(":"))
    total = 60 * hours + minutes
    return total if minutes < 60 and total <= _DAY_MINUTES else None


def _days(text: str | None) -> frozenset[int] | None:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = (one.strip() for one in part.partition("-"))
        if first not in _DAYS or (last or first) not in _DAYS:
            return None
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        days |= {day % 7 for day in range(start, end + 1 if end >= start else end + 8)}
    return frozenset(days)
