"""Schedules in a camera's time zone, nights and changes of the clock included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hermes_stream.stream.watches import Schedule

NIGHT = Schedule(days=("fri",), begins="22:00", ends="06:00", time_zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("moment", "is_allowed"),
    [
        ("2024-07-05T19:59", False),  # Friday, 21:59 in Berlin
        ("2024-07-05T20:00", True),
        ("2024-07-06T03:59", True),  # Saturday morning belongs to Friday's night
        ("2024-07-06T04:00", False),
        ("2024-07-05T03:00", False),  # Friday morning belongs to Thursday's
        ("2024-01-05T20:30", False),  # winter time: 21:30
        ("2024-01-05T21:00", True),
    ],
)
def test_a_night_ends_on_the_next_day(moment, is_allowed):
    assert NIGHT.allows(datetime.fromisoformat(moment).replace(tzinfo=UTC)) is is_allowed


def test_equal_hours_are_whole_days():
    begin = datetime(2024, 7, 1, tzinfo=UTC)  # a Monday
    weekend = Schedule(days=("sat", "sun"), time_zone="UTC")
    allowed = [weekend.allows(begin + timedelta(hours=hour)) for hour in range(7 * 24)]
    assert allowed == [False] * 120 + [True] * 48
    assert all(Schedule(time_zone="UTC").allows(begin + timedelta(hours=hour)) for hour in range(7 * 24))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"days": ("monday",)}, "days must be some of mon, tue"),
        ({"days": "mon"}, "days must be some of"),
        ({"begins": "25:00"}, "begins must be a time of day such as '22:30', got '25:00'"),
        ({"ends": "22:00Z"}, "ends must be a time of day such as '22:30', got '22:00Z'"),
        ({"time_zone": "Berlin"}, "time_zone must be a name such as"),
    ],
)
def test_what_is_no_schedule_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**fields)


def test_without_a_zone_it_is_the_machines(machine_zone):
    machine_zone("Asia/Tokyo")
    night = Schedule(begins="22:00", ends="06:00")
    assert [hour for hour in range(24) if night.allows(datetime(2024, 7, 5, hour, tzinfo=UTC))] == [
        *range(13, 21)
    ]


@pytest.mark.parametrize(("clock", "is_allowed"), [("08:00", True), ("17:59:59", True), ("18:00", False)])
def test_a_day_ends_before_its_last_moment(clock, is_allowed):
    day = Schedule(begins="08:00", ends="18:00", time_zone="UTC")
    assert day.allows(datetime.fromisoformat(f"2024-07-05T{clock}").replace(tzinfo=UTC)) is is_allowed


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="needs a time zone"):
        NIGHT.allows(datetime(2024, 7, 5, 20))
