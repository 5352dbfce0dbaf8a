from __future__ import annotations

import math

import pytest
from tests.lab.watchers import Pictures, grey

from hermes_stream.stream.playback import watch


def seen_at(frames, times):
    """Return, for each time as it comes, (its index, the moment, how many frames were seen)."""
    seen = []
    return [
        (due.index, due.at_seconds, len(seen)) for due in watch(Pictures(frames), times, observe=seen.append)
    ]


SECONDS = [grey(t) for t in range(5)]


def test_a_moment_sees_the_frames_up_to_and_including_it():
    assert seen_at(SECONDS, [0.0, 1.0, 1.5, 4.0]) == [(0, 0.0, 1), (1, 1.0, 2), (2, 1.5, 2), (3, 4.0, 5)]


def test_moments_come_in_order_of_time_then_of_asking():
    assert [index for index, _, _ in seen_at(SECONDS, [3.0, 1.0, 3.0, 0.0])] == [3, 1, 0, 2]


def test_moments_after_the_end_are_the_end():
    dues = list(watch(Pictures(SECONDS), [5.0, 7.0, math.inf], observe=lambda _: None))
    assert [(due.at_seconds, due.is_past_end) for due in dues] == [(5.0, False), (5.0, True), (5.0, False)]


def test_moments_count_from_the_first_frame():
    assert seen_at([grey(100.0 + t) for t in range(5)], [2.0]) == [(0, 2.0, 3)]


@pytest.mark.parametrize("fps", [3, 7, 30])
def test_rates_that_floats_cannot_hold(fps):
    frames = [grey(k / fps, 1 / fps) for k in range(10 * fps)]
    assert [seen for _, _, seen in seen_at(frames, [float(t) for t in range(10)])] == [
        t * fps + 1 for t in range(10)
    ]


def test_everything_is_told():
    told = []
    assert list(watch(Pictures(SECONDS), [], observe=lambda _: None, on_frame=told.append)) == []
    assert told == [0, 1, 2, 3, 4]
