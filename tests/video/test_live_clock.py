"""One clock over reconnects, leaps and drift of a source's own."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from hermes_stream.video.sources.live_clock import LiveClock
from hermes_stream.video.sources.source import ClockPoint


def stamped(clock, pairs):
    return [clock.stamp(own, arrival) for own, arrival in pairs]


def test_zero_is_the_first_picture():
    clock = LiveClock()
    assert clock.stamp(5000.0, 100.0) == 0
    assert clock.stamp(5000.1, 100.2) == pytest.approx(0.1, abs=0.01)
    assert clock.zero_wall_seconds == pytest.approx(time.time() - (time.monotonic() - 100.0), abs=1)


def test_times_follow_the_source_through_jitter():
    clock = LiveClock()
    times = stamped(clock, [(k / 10, k / 10 + (0.08 if k % 2 else 0)) for k in range(50)])
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert max(steps) - min(steps) < 0.005


def test_pictures_without_a_time_are_at_their_arrival():
    clock = LiveClock()
    assert stamped(clock, [(None, 10.0), (7.0, 10.5), (None, 11.5)]) == [0, 0.5, 1.5]


def test_late_pictures_are_left_out():
    clock = LiveClock()
    assert stamped(clock, [(1.0, 10.0), (1.2, 10.2), (1.1, 10.3)])[2] is None
    assert clock.stamp(1.2, 10.4) is None


@pytest.mark.parametrize("to", [-1e6, 0.0, 1e6, 100.0])
def test_a_leap_of_the_source_moves_nothing(to):
    clock = LiveClock()
    before = stamped(clock, [(50 + k / 10, k / 10) for k in range(20)])
    after = stamped(clock, [(to + k / 10, 2 + k / 10) for k in range(20)])
    assert clock.num_leaps == 1
    assert after[0] == pytest.approx(2, abs=0.05)
    assert after[0] > before[-1]
    assert after[-1] == pytest.approx(3.9, abs=0.05)


def test_a_source_that_is_opened_again_goes_on_at_the_time_of_arrival():
    clock = LiveClock()
    stamped(clock, [(k / 10, k / 10) for k in range(20)])
    clock.restart()
    assert clock.stamp(0.0, 30.0) == pytest.approx(30, abs=0.05)
    assert clock.num_leaps == 0


def test_drift_is_told_and_followed():
    clock = LiveClock()
    # a camera whose clock gains 0.5 %: 18 s an hour
    times = stamped(clock, [(k * 1.005, float(k)) for k in range(3600)])
    assert clock.drift_seconds == pytest.approx(18, abs=0.5)
    assert times[-1] == pytest.approx(3599, abs=0.5)
    assert clock.num_leaps == 0


def test_pictures_that_arrive_in_pieces_keep_their_times():
    clock = LiveClock()
    times = stamped(clock, [(k / 10, float(k // 40 * 4)) for k in range(400)])
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert min(steps) > 0.09
    assert max(steps) < 0.11
    assert times[-1] == pytest.approx(39.9, abs=4)


def test_a_stream_goes_on():
    now, monotonic = time.time(), time.monotonic()
    clock = LiveClock(ClockPoint(zero_wall_seconds=now - 500, newest_seconds=400))
    assert clock.stamp(0.0, monotonic) == pytest.approx(500, abs=1)
    assert clock.zero_wall_seconds == now - 500
    back = LiveClock(ClockPoint(zero_wall_seconds=now, newest_seconds=400))
    first = back.stamp(0.0, monotonic)
    assert 400 < first < 401
    assert back.stamp(1.0, monotonic + 1) == pytest.approx(first + 1, abs=0.02)
