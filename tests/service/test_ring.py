"""The ring: sampled on the way in, bounded three ways, the newest kept, every loss counted."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.checkpoints import random_frames

from hermes_stream.errors import OverloadedError
from hermes_stream.service.ring import FrameRing, RingLimits

ROOM = RingLimits(num_frames=64, num_bytes=2**30, seconds=1e9)


def ring_of(limits=ROOM, fps=None, newest_seconds=None, prepare=lambda frame: frame):
    ring = FrameRing(limits, prepare)
    ring.go_on(newest_seconds, fps)
    return ring


def drain(ring):
    times = []
    while (frame := ring.peek()) is not None:
        times.append(frame.pts_seconds)
        ring.remove(frame)
    return times


@pytest.mark.parametrize("fps", [None, 0.5, 1.0, 2.0, 7.0])
def test_one_frame_of_every_interval_is_taken(fps):
    ring, frames = ring_of(RingLimits(num_frames=1000, num_bytes=2**30, seconds=1e9), fps), []
    for frame in random_frames(200, fps=10.0):
        if ring.put(frame):
            frames.append(frame.pts_seconds)
    assert drain(ring) == frames
    counts = ring.counts
    assert counts.num_taken == len(frames)
    assert counts.num_taken + counts.num_skipped == 200
    assert counts.num_dropped == counts.num_waiting == counts.waiting_bytes == 0
    if fps is None:
        assert len(frames) == 200
    else:
        assert abs(len(frames) - 20 * fps) <= 1
        assert len({math.floor(seconds * fps + 0.1) for seconds in frames}) == len(frames)


def test_a_frame_that_jitters_is_due():
    ring = ring_of(fps=1.0)
    times = [0.0, 0.97, 2.02, 2.93, 3.99]
    frames = [replace(frame, pts_seconds=at) for frame, at in zip(random_frames(5), times, strict=True)]
    assert all(ring.put(frame) for frame in frames)


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (RingLimits(num_frames=4, num_bytes=2**30, seconds=1e9), 4),
        (RingLimits(num_frames=64, num_bytes=3 * 24 * 24 * 3, seconds=1e9), 3),
        (RingLimits(num_frames=64, num_bytes=2**30, seconds=5.0), 6),
    ],
)
def test_the_newest_are_kept_and_the_others_counted(limits, kept):
    ring = ring_of(limits)
    for frame in random_frames(20):
        assert ring.put(frame)
    assert ring.counts.num_dropped == 20 - kept
    assert ring.counts.num_waiting == kept
    assert ring.counts.waiting_bytes == kept * 24 * 24 * 3
    assert drain(ring) == [float(k) for k in range(20 - kept, 20)]


def test_it_goes_on_behind_what_is_known():
    ring = ring_of(fps=1.0, newest_seconds=4.2)
    taken = [frame.pts_seconds for frame in random_frames(8) if ring.put(frame)]
    assert taken == [5.0, 6.0, 7.0]
    ring.go_on(6.0, None)  # what waits and is later stays
    assert drain(ring) == [7.0]


def test_what_waits_is_taken_once_also_where_it_is_pushed_out_meanwhile():
    ring = ring_of(RingLimits(num_frames=2, num_bytes=2**30, seconds=1e9))
    first, second, third = random_frames(3)
    ring.put(first)
    ring.put(second)
    held = ring.peek()
    ring.put(third)
    ring.remove(held)  # the engine has it: it is not lost
    assert ring.counts.num_dropped == 0
    assert drain(ring) == [1.0, 2.0]


def test_who_can_wait_loses_nothing():
    ring = ring_of(RingLimits(num_frames=2, num_bytes=2**30, seconds=1e9))
    frames, got = random_frames(50), []

    def put():
        for frame in frames:
            ring.put(frame, wait_seconds=math.inf)

    thread = threading.Thread(target=put)
    thread.start()
    deadline = time.monotonic() + 10
    while len(got) < 50 and time.monotonic() < deadline:
        got += drain(ring)
    thread.join(5)
    assert got == [frame.pts_seconds for frame in frames]
    assert ring.counts.num_dropped == 0


def test_who_waits_for_long_enough_is_told():
    ring = ring_of(RingLimits(num_frames=1, num_bytes=2**30, seconds=1e9))
    first, second = random_frames(2)
    ring.put(first)
    with pytest.raises(OverloadedError, match=r"1 frames wait, and there was no room for 0.05 s") as caught:
        ring.put(second, wait_seconds=0.05)
    assert caught.value.retry_after_seconds > 0
    assert drain(ring) == [0.0]
    assert ring.put(second, wait_seconds=0.05)


def test_a_ring_that_closes_lets_go_whoever_waits():
    ring = ring_of(RingLimits(num_frames=1, num_bytes=2**30, seconds=1e9))
    first, second = random_frames(2)
    ring.put(first)
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(ring.put(second, wait_seconds=math.inf)))
    thread.start()
    time.sleep(0.05)
    ring.close()
    thread.join(2)
    assert outcome == [False]


def test_what_is_malformed_changes_nothing():
    ring = ring_of(RingLimits(num_frames=4, num_bytes=100, seconds=1e9))
    with pytest.raises(ValueError, match="1728 bytes and 100 may wait; raise ring_bytes"):
        ring.put(random_frames(1)[0])
    with pytest.raises(ValueError, match="numpy array of uint8"):
        ring.put(replace(random_frames(1)[0], image=np.zeros((2, 2, 3))))
    assert ring.counts.num_taken == 0
    assert ring.put(replace(random_frames(1)[0], image=np.zeros((2, 2, 3), np.uint8)))


def test_only_what_is_due_is_made_ready():
    made = []
    ring = ring_of(fps=1.0, prepare=lambda frame: made.append(frame.pts_seconds) or frame)
    for frame in random_frames(30, fps=10.0):
        ring.put(frame)
    assert len(made) == ring.counts.num_taken == 4


def test_what_has_waited_for_too_long_is_dropped_but_the_newest():
    ring = ring_of(RingLimits(num_frames=64, num_bytes=2**30, seconds=0.2))
    for frame in random_frames(3, fps=100.0):
        ring.put(frame)
    for frame in random_frames(2, fps=100.0, start=0.1):
        ring.put(frame, wait_seconds=1.0)  # whoever waits loses nothing
    time.sleep(0.25)
    assert drain(ring) == [0.1, 0.11]
    assert ring.counts.num_dropped == 3
    ring.put(random_frames(1, start=9.0)[0])
    time.sleep(0.25)
    assert drain(ring) == [9.0]


def test_what_waits_is_behind_what_comes_after_it_goes_on():
    ring = ring_of()
    early, held, late = random_frames(3)
    ring.put(held)
    ring.go_on(0.0, None)
    assert not ring.put(early)
    assert not ring.put(held), "it waits already"
    assert ring.put(late)
    ring.close()
    ring.go_on(0.0, None)
    assert ring.put(random_frames(1, start=3.0)[0]), "a ring that was closed is open again"


def test_what_is_no_longer_needed_makes_room_for_whoever_waits():
    ring = ring_of(RingLimits(num_frames=1, num_bytes=2**30, seconds=1e9))
    first, second = random_frames(2)
    ring.put(first)
    is_waiting, outcome = threading.Event(), []
    ring._is_full = lambda frame: is_waiting.set() or FrameRing._is_full(ring, frame)
    thread = threading.Thread(target=lambda: outcome.append(ring.put(second, wait_seconds=math.inf)))
    thread.start()
    assert is_waiting.wait(10)
    ring.go_on(first.pts_seconds, None)
    thread.join(10)
    is_told = outcome == [True]
    ring.close()
    thread.join(10)
    assert is_told


def test_a_frame_may_take_all_the_bytes_there_are():
    frame = random_frames(1)[0]
    ring = ring_of(RingLimits(num_frames=4, num_bytes=frame.image.nbytes, seconds=1e9))
    assert ring.put(frame)


def test_a_frame_is_late_where_a_newer_one_came_while_it_was_made_ready():
    earlier, later = random_frames(2)

    def prepare(frame):
        if frame is earlier:
            ring.put(later)
        return frame

    ring = ring_of(prepare=prepare)
    assert not ring.put(earlier)
    assert (ring.counts.num_taken, ring.counts.num_skipped) == (1, 1)
    assert drain(ring) == [1.0]


@pytest.mark.parametrize(("fps", "expected"), [(5.0, 5.0), (200.0, 200.0)])
def test_what_came_lately_is_told_per_second(monkeypatch, fps, expected):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    ring = ring_of(fps=0.1)
    for frame in random_frames(int(20 * fps), fps=fps):
        now[0] = frame.pts_seconds
        ring.put(frame)
    assert ring.counts.delivered_fps == pytest.approx(expected, rel=0.03)
    now[0] += 60.0
    assert ring.counts.delivered_fps == 0
