"""Frames that others push."""

from __future__ import annotations

import numpy as np
import pytest
from tests.video.reading import Reading

from hermes_stream.video import Frame, PushedFrames, SourceOptions
from hermes_stream.video.sources.source import ClockPoint, SourceState


def frame(seconds, *, height=20, width=30, value=100):
    return Frame(pts_seconds=seconds, image=np.full((height, width, 3), value, np.uint8))


def test_frames_are_read_as_they_are_pushed():
    source = PushedFrames()
    with Reading(source) as reading:
        for k in range(5):
            receipt = source.push(frame(100 + k / 10))
            assert (receipt.num_accepted, receipt.num_late, receipt.num_dropped) == (1, 0, 0)
            reading.until(lambda k=k: len(reading.frames) == k + 1)
        source.finish()
        reading.ended()
    assert reading.times == [100 + k / 10 for k in range(5)]
    assert reading.kinds == ["opened", "ended"]
    assert source.stats.state is SourceState.ENDED


def test_the_oldest_give_way():
    source = PushedFrames(max_waiting_frames=3)
    receipt = source.push([frame(k) for k in range(10)])
    assert (receipt.num_accepted, receipt.num_dropped, receipt.newest_pts_seconds) == (10, 7, 9)
    source.finish()
    assert [one.pts_seconds for one in source] == [7, 8, 9]
    assert source.stats.num_dropped == 7
    few = PushedFrames(max_waiting_bytes=4000)
    assert few.push([frame(k) for k in range(10)]).num_dropped == 8


def test_late_frames_are_left_out():
    source = PushedFrames()
    receipt = source.push([frame(1), frame(1), frame(0.5), frame(2)])
    assert (receipt.num_accepted, receipt.num_late, receipt.newest_pts_seconds) == (2, 2, 2)


def test_gaps_and_sizes_are_told():
    source = PushedFrames()
    source.push([frame(0), frame(1), frame(30, height=40), frame(31, height=40)])
    source.finish()
    kinds = [item.kind.value for item in source.read() if not isinstance(item, Frame)]
    assert kinds == ["opened", "gap", "format_changed", "ended"]
    assert (source.stats.num_gaps, source.stats.gap_seconds) == (1, 29)


def test_options_apply():
    source = PushedFrames(SourceOptions(fps=1, max_image_pixels=150, crop=(0, 0, 0.5, 1)))
    source.push([frame(k / 4) for k in range(12)])
    source.finish()
    frames = list(source)
    assert [one.pts_seconds for one in frames] == [0, 1, 2]
    assert frames[0].image.shape == (14, 10, 3)


def test_a_stream_goes_on_after_its_newest_frame():
    source = PushedFrames(SourceOptions(goes_on=ClockPoint(zero_wall_seconds=5.0, newest_seconds=10.0)))
    assert source.push([frame(9), frame(10), frame(11)]).num_late == 2
    assert source.stats.zero_wall_seconds == 5


def test_after_the_end_everything_is_dropped():
    source = PushedFrames()
    source.stop()
    assert source.push(frame(0)).num_dropped == 1
    assert list(source) == []


@pytest.mark.parametrize(
    "bad",
    [
        Frame(pts_seconds=float("nan"), image=np.zeros((2, 2, 3), np.uint8)),
        Frame(pts_seconds="1", image=np.zeros((2, 2, 3), np.uint8)),
        Frame(pts_seconds=1, image=np.zeros((2, 2), np.uint8)),
        Frame(pts_seconds=1, image=np.zeros((2, 2, 3), np.float32)),
        Frame(pts_seconds=1, image=np.zeros((0, 2, 3), np.uint8)),
        Frame(pts_seconds=1, image=np.zeros((200, 2, 3), np.uint8)),
    ],
)
def test_what_is_no_frame_is_refused(bad):
    with pytest.raises(ValueError, match="accepted"):
        PushedFrames(SourceOptions(max_pixels=100)).push(bad)


def test_bounds_are_checked():
    with pytest.raises(ValueError, match="max_waiting_frames"):
        PushedFrames(max_waiting_frames=0)
