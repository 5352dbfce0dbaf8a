"""The rim of a stream: which frames are due."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from hermes_stream import Frame
from hermes_stream.errors import SnapshotError
from hermes_stream.stream.changes import Changes, FrameCame, FrameForgotten
from hermes_stream.stream.intake import Intake

IMAGE = np.zeros((8, 8, 3), np.uint8)


def accepted(fps: float | None, *seconds: float) -> list[float]:
    intake = Intake(fps)
    for at in seconds:
        intake.accept(Frame(pts_seconds=at, image=IMAGE))
    return [frame.pts_seconds for frame in intake.waiting]


def test_without_a_rate_every_frame_is_due():
    assert accepted(None, 0.0, 0.01, 0.02) == [0.0, 0.01, 0.02]


def test_a_frame_up_to_a_tenth_of_an_interval_early_is_due():
    assert accepted(1.0, 5.0, 5.89, 6.8, 6.95) == [5.0, 6.8, 6.95]
    assert accepted(1.0, 5.0, 5.91, 6.89, 6.91) == [5.0, 5.91, 6.91]
    assert accepted(2.0, 0.0, 0.44, 0.451, 0.96) == [0.0, 0.451, 0.96]


def test_an_interval_without_a_frame_is_not_made_up_for():
    assert accepted(1.0, 0.0, 5.2, 5.6, 6.0, 6.5) == [0.0, 5.2, 6.0]


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(fps):
    with pytest.raises(ValueError, match="fps must be a positive number"):
        Intake(fps)


def test_a_gap_is_more_than_a_minute():
    intake = Intake(None)
    for at in (0.0, 60.0, 120.5):
        intake.accept(Frame(pts_seconds=at, image=IMAGE))
    assert intake.num_gaps == 1


def test_frames_are_a_hundred_and_fifteen_days_apart_at_most():
    intake = Intake(None)
    intake.accept(Frame(pts_seconds=0.0, image=IMAGE))
    intake.accept(Frame(pts_seconds=1e7, image=IMAGE))
    with pytest.raises(ValueError, match="at most 1e\\+07 seconds apart"):
        intake.accept(Frame(pts_seconds=2.0001e7, image=IMAGE))


def test_times_that_jump_on_must_go_on_from_there():
    intake = Intake(None)
    intake.accept(Frame(pts_seconds=0.0, image=IMAGE))
    for at in (5e7, 3e7, 3e7, 5e7):  # back from where the last one was, at it, and far on again
        with pytest.raises(ValueError, match="seconds apart"):
            intake.accept(Frame(pts_seconds=at, image=IMAGE))
    intake.accept(Frame(pts_seconds=5e7 + 1, image=IMAGE))
    assert intake.newest_seconds == 5e7 + 1


def test_a_time_that_was_a_slip_is_one_again():
    intake = Intake(None)
    for at, is_one in ((0.0, False), (5e7, True), (1.0, False), (5e7 + 1, True)):
        with pytest.raises(ValueError, match="seconds apart") if is_one else nullcontext():
            intake.accept(Frame(pts_seconds=at, image=IMAGE))
    assert intake.newest_seconds == 1.0


def test_a_part_of_a_picture_is_copied_before_it_waits():
    shown = IMAGE.copy()
    intake = Intake(None, shrink=lambda frame: replace(frame, image=frame.image[:4]))
    intake.accept(Frame(pts_seconds=0.0, image=shown))
    shown += 1
    assert not intake.waiting[0].image.any()


def test_frames_in_hand_wait_no_more_and_are_counted_before_those_that_do():
    changes, seen = Changes(), []
    intake = Intake(None, changes=changes)
    for at in range(4):
        intake.accept(Frame(pts_seconds=float(at), image=IMAGE))
    changes.listener = seen.append
    intake.take(2)
    assert intake.num_folded == 2
    intake.forget(1)
    assert [one.what for one in seen] == [FrameForgotten(index=3)]


def test_what_does_not_wait_cannot_be_dropped_again():
    with pytest.raises(SnapshotError, match="frame 0 of those that wait was dropped, and 0 wait"):
        Intake(None).forget_again(FrameForgotten(index=0))


def test_what_another_took_in_and_dropped_is_taken_in_and_dropped_again():
    seen: list[object] = []
    changes = Changes()
    changes.listener = lambda change: seen.append(change.what)
    one, other = Intake(0.5, changes=changes), Intake(0.5)
    for at in (5.0, 6.0, 7.0, 100.0):
        one.accept(Frame(pts_seconds=at, image=IMAGE))
    one.forget(0)
    for change in seen:
        again = other.admit_again if isinstance(change, FrameCame) else other.forget_again
        again(change)
    assert other.saved().values == one.saved().values
    assert other.num_forgotten == 1
    assert [frame.pts_seconds for frame in other.waiting] == [7.0, 100.0]
    with pytest.raises(SnapshotError, match="frame -1 of those that wait"):
        other.forget_again(FrameForgotten(index=-1))


@pytest.mark.parametrize(
    ("seconds", "image", "why"),
    [
        (2.0, IMAGE, "order"),
        (np.nan, IMAGE, "finite"),
        (3.0, IMAGE[0], "shape"),
        (3.0, IMAGE[:5], "even"),
    ],
)
def test_what_cannot_come_cannot_be_taken_in_again(seconds, image, why):
    intake = Intake(None, check_even)
    intake.accept(Frame(pts_seconds=2.0, image=IMAGE))
    with pytest.raises(SnapshotError, match=f"cannot be taken in again: .*{why}"):
        intake.admit_again(FrameCame(frame=Frame(pts_seconds=seconds, image=image), due=2, num_gaps=0))
    with pytest.raises(ValueError, match=why):
        intake.accept(Frame(pts_seconds=seconds, image=image))
    assert intake.num_accepted == 1


def check_even(height: int, _: int) -> None:
    if height % 2:
        raise ValueError("sizes are even")


def test_an_intake_goes_on_where_another_was():
    one = Intake(0.5)
    for at in (5.0, 7.0, 9.0, 70.0, 200.0):
        one.accept(Frame(pts_seconds=at, image=IMAGE))
    one.forget(1)
    one.take(1)
    other = Intake(0.5, check_even)
    other.restore(one.saved())
    assert other.saved().values == one.saved().values
    assert [frame.pts_seconds for frame in other.waiting] == [5.0, 9.0, 70.0, 200.0]
    fresh = Intake(None)
    fresh.restore(Intake(None).saved())
    assert fresh.newest_seconds is None


@pytest.mark.parametrize("wrong", [{"num_accepted": 1}, {"newest_seconds": 4.0}])
def test_a_state_that_contradicts_itself_is_refused(wrong):
    intake = Intake(None)
    for at in (5.0, 7.0):
        intake.accept(Frame(pts_seconds=at, image=IMAGE))
    saved = intake.saved()
    with pytest.raises(SnapshotError):
        Intake(None).restore(replace(saved, values={**saved.values, **wrong}))
    with pytest.raises(SnapshotError, match="even"):
        Intake(None, lambda height, _: check_even(height + 1, 0)).restore(saved)


def test_frames_in_hand_are_dropped_or_wait_again_before_the_others():
    intake = Intake(None)
    for at in range(4):
        intake.accept(Frame(pts_seconds=float(at), image=IMAGE))
    first, second, third = *intake.take(2), intake.waiting[0]
    assert intake.waiting_bytes == 4 * IMAGE.nbytes
    assert intake.indices_of([third, first]) == (0, 2)
    intake.drop([first])
    assert intake.in_hand == [second]
    intake.put_back()
    assert [frame.pts_seconds for frame in intake.waiting] == [1.0, 2.0, 3.0]
    assert not intake.in_hand
