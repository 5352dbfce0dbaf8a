"""Days and hours at which a source is watched."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from hermes_stream.video.sources.schedule import Schedule


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def is_on(schedule: str, moment: str, zone: str = "Europe/Berlin") -> bool:
    return Schedule.parse(schedule, time_zone=zone).is_on(at(moment, zone))


@pytest.mark.parametrize(
    ("schedule", "moment", "expected"),
    [
        ("mon-fri 08:00-18:00", "2026-11-26 08:00", True),  # a Thursday
        ("mon-fri 08:00-18:00", "2026-11-26 07:59", False),
        ("mon-fri 08:00-18:00", "2026-11-26 18:00", False),
        ("mon-fri 08:00-18:00", "2026-11-28 12:00", False),
        ("SAT, sun 22:00-06:00", "2026-11-28 23:00", True),
        ("sat,sun 22:00-06:00", "2026-11-30 05:59", True),
        ("sat,sun 22:00-06:00", "2026-11-28 05:00", False),
        ("fri-mon 10:00-11:00", "2026-11-29 10:30", True),
        ("fri-mon 10:00-11:00", "2026-11-26 10:30", False),
        ("00:00-24:00", "2026-11-26 23:59", True),
        ("08:00-09:00; 17:00-18:00", "2026-11-26 17:30", True),
        ("12:00-12:00", "2026-11-26 11:00", True),
    ],
)
def test_hours(schedule, moment, expected):
    assert is_on(schedule, moment) is expected


def test_the_clock_on_the_wall_counts():
    schedule = Schedule.parse("08:00-09:00", time_zone="Europe/Berlin")
    assert schedule.is_on(at("2026-07-01 08:30"))
    assert schedule.is_on(at("2026-12-01 08:30"))
    assert not schedule.is_on(at("2026-12-01 08:30", "UTC"))


def test_the_next_change():
    schedule = Schedule.parse("mon-fri 08:00-18:00", time_zone="Europe/Berlin")
    assert schedule.next_change(at("2026-11-27 19:00")).timestamp() == at("2026-11-30 08:00")
    assert schedule.next_change(at("2026-11-26 09:00")).timestamp() == at("2026-11-26 18:00")
    assert Schedule.parse("00:00-24:00").next_change(0.0) is None


@pytest.mark.parametrize(
    "bad", ["", ";", "mon", "mon 8-9", "xyz 08:00-09:00", "25:00-26:00", "08:61-09:00", "x" * 99]
)
def test_what_is_no_schedule_is_refused(bad):
    with pytest.raises(ValueError, match="accepted"):
        Schedule.parse(bad)


def test_an_unknown_time_zone_is_refused():
    for zone in ("Atlantis", "../../etc/passwd", ""):
        with pytest.raises(ValueError, match="Europe/Berlin"):
            Schedule.parse("08:00-09:00", time_zone=zone)
