from __future__ import annotations

import math
from fractions import Fraction
from itertools import count, islice, pairwise

import numpy as np
import pytest

from hermes_stream.video import Frame, sample_frames


def frames_at(times, *, durations=None):
    durations = durations or [0.0] * len(times)
    for index, (pts_seconds, duration_seconds) in enumerate(zip(times, durations, strict=True)):
        image = np.full((1, 1, 3), index % 256, np.uint8)
        yield Frame(pts_seconds=pts_seconds, image=image, duration_seconds=duration_seconds)


def steady(num_frames, rate, *, start=0, ticks_per_second=None):
    """Frames at a steady rate, rounded to a clock as a container rounds them."""
    exact = [Fraction(start) + Fraction(k) / Fraction(rate) for k in range(num_frames + 1)]
    if ticks_per_second:
        exact = [Fraction(round(t * ticks_per_second), ticks_per_second) for t in exact]
    ends = zip(exact[1:], exact, strict=False)
    return frames_at([float(t) for t in exact[:-1]], durations=[float(b - a) for b, a in ends])


def sampled(frames, fps):
    return [(frame.pts_seconds, int(frame.image[0, 0, 0])) for frame in sample_frames(frames, fps=fps)]


@pytest.mark.parametrize(
    ("num_frames", "rate", "fps", "expected"),
    [
        (125, 25, 1, 5),
        (125, 25, 0.5, 3),
        (60, 30, 2, 4),
        (125, 25, 25, 125),
        (10, 10, 0.01, 1),
        (390, Fraction(30000, 1001), 1, 14),
        (150, Fraction(30000, 1001), 1, 6),
        (3, 1, 4, 12),
        (5, Fraction(1, 10), 1, 50),
    ],
)
@pytest.mark.parametrize("ticks_per_second", [None, 1000, 90000, 15360])
@pytest.mark.parametrize("start", [0, Fraction(8333, 1000)])
def test_count_is_duration_times_fps_whatever_the_clock(
    num_frames, rate, fps, expected, ticks_per_second, start
):
    frames = steady(num_frames, rate, start=start, ticks_per_second=ticks_per_second)
    assert len(sampled(frames, fps)) == expected


@pytest.mark.parametrize("duration", [4.999999, 5.0, 5.0000001, 5.0009])
def test_end_is_compared_with_tolerance(duration):
    times = [k / 25 for k in range(125)]
    frames = frames_at(times, durations=[0.04] * 124 + [duration - times[-1]])
    assert len(sampled(frames, 1)) == 5


def test_native_rate_returns_every_frame_once_from_millisecond_times():
    frames = steady(90, 30, ticks_per_second=1000)
    assert [index for _, index in sampled(frames, 30)] == list(range(90))


def test_equals_a_plain_search_on_uneven_times():
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.02, 1.5, 40)).tolist()
    end = times[-1] + 0.7
    result = sampled(frames_at(times, durations=[0.0] * 39 + [0.7]), 3)
    instants = [times[0] + k / 3 for k in range(math.ceil((end - times[0]) * 3))]
    assert result == [(t, max(i for i, pts in enumerate(times) if pts <= t)) for t in instants]


def test_slow_source_repeats_what_is_on_screen_at_increasing_times():
    frames = frames_at([0.0, 2.0], durations=[2.0, 2.0])
    assert sampled(frames, 1) == [(0.0, 0), (1.0, 0), (2.0, 1), (3.0, 1)]


def test_frames_carry_the_instant_and_the_step():
    frame = list(sample_frames(steady(50, 25, start=7), fps=2))[1]
    assert (frame.pts_seconds, frame.duration_seconds) == (7.5, 0.5)


def test_unknown_last_duration_is_the_gap_before():
    assert [t for t, _ in sampled(frames_at([0.0, 1.0, 2.0]), 2)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


def test_one_frame_without_duration_is_kept():
    assert sampled(frames_at([4.0]), 1) == [(4.0, 0)]


def test_no_frames_give_none():
    assert sampled([], 1) == []


def test_sampling_twice_changes_nothing():
    once = list(sample_frames(steady(125, 25), fps=2))
    assert [f.pts_seconds for f in sample_frames(once, fps=2)] == [f.pts_seconds for f in once]


def test_endless_source_is_read_only_as_far_as_needed():
    num_read = count()

    def endless():
        for k in count():
            next(num_read)
            yield from frames_at([k / 25])

    assert [f.pts_seconds for f in islice(sample_frames(endless(), fps=1), 3)] == [0.0, 1.0, 2.0]
    assert next(num_read) <= 53


@pytest.mark.parametrize("fps", [0, -1, 100_001, math.nan, math.inf])
def test_refuses_a_rate_that_is_none(fps):
    with pytest.raises(ValueError, match=r"fps is .*finite number above 0"):
        sample_frames([], fps=fps)


@pytest.mark.parametrize("times", [[0.0, 0.0], [1.0, 0.5], [0.0, math.nan]])
def test_refuses_times_that_do_not_increase(times):
    with pytest.raises(ValueError, match="times must increase"):
        sampled(frames_at(times), 1)


def test_a_long_gap_is_filled_for_a_minute_and_left_empty_after_that():
    instants = sampled(frames_at([0.0, 1.0, 1_000_000.25, 1_000_001.0]), 2)
    assert [index for _, index in instants] == [0, 0] + [1] * 120 + [2, 3, 3]
    assert [t for t, _ in instants[:122]] == [k / 2 for k in range(122)]
    assert [t for t, _ in instants[122:]] == [1_000_000.5, 1_000_001.0, 1_000_001.5]


def test_a_last_frame_that_claims_to_stay_for_years_stays_for_a_minute():
    assert len(sampled(frames_at([5.0], durations=[1e9]), 2)) == 120


def test_no_rate_repeats_one_frame_without_end():
    instants = sampled(frames_at([0.0, 50.0, 50.5]), 10_000)
    assert [sum(index == k for _, index in instants) for k in range(3)] == [3600, 3600, 3600]
    assert all(a < b for (a, _), (b, _) in pairwise(instants))


def test_a_rate_below_one_frame_a_minute_still_meets_frames_that_stay_long():
    frames = frames_at([0.0, 300.0, 600.0], durations=[300.0] * 3)
    assert sampled(frames, 0.01) == [(0.0, 0), (300.0, 1), (600.0, 2)]


def test_frames_that_stay_for_less_than_times_are_rounded_by_are_taken_once():
    assert [index for _, index in sampled(steady(40, 2000), 2000)] == list(range(40))


def test_the_highest_rate_is_one():
    assert sampled(frames_at([4.0]), 100_000) == [(4.0, 0)]
