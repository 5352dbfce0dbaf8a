"""Days and hours at which a watch speaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Days of the week and hours, on the clock on the wall.

    Attributes:
        days: some of mon, tue, wed, thu, fri, sat, sun; the day on which the hours begin.
        begins: time of day, such as "22:00".
        ends: time of day, not part of it; earlier than ``begins`` is on the next day, equal is a whole day.
        time_zone: such as "Europe/Berlin"; None for this machine's.

    Raises:
        ValueError: a value is none of these.
    """

    days: tuple[str, ...] = DAYS
    begins: str = "00:00"
    ends: str = "00:00"
    time_zone: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.days, str) or not self.days or set(self.days) - set(DAYS):
            raise ValueError(f"days must be some of {', '.join(DAYS)}; got {self.days!r}")
        for name in ("begins", "ends"):
            _time_of(name, getattr(self, name))
        try:
            _ = self._zone
        except (KeyError, ValueError, OSError, TypeError) as error:
            raise ValueError(
                f"time_zone must be a name such as 'Europe/Berlin', got {self.time_zone!r}"
            ) from error

    @property
    def _zone(self) -> ZoneInfo | None:
        return None if self.time_zone is None else ZoneInfo(self.time_zone)

    def allows(self, moment: datetime) -> bool:
        """Tell whether a moment is within it.

        Args:
            moment: with a time zone of its own.

        Raises:
            ValueError: it has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"a moment needs a time zone, got {moment}; give datetime.now(timezone.utc)")
        local = moment.astimezone(self._zone)
        now, today = local.time().replace(tzinfo=None), local.weekday()
        begins, ends = _time_of("begins", self.begins), _time_of("ends", self.ends)
        begun_today = now >= begins and (now < ends or ends <= begins)
        begun_yesterday = ends <= begins and now < ends
        return (begun_today and DAYS[today] in self.days) or (
            begun_yesterday and DAYS[today - 1] in self.days
        )


def _time_of(name: str, text: str) -> time:
    try:
        told = time.fromisoformat(text)
        if told.tzinfo is not None:
            raise ValueError("the schedule's own time_zone tells whose time it is")
        return told
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be a time of day such as '22:30', got {text!r}") from error
