"""Files played as sources."""

from __future__ import annotations

import time

import pytest
from tests.video.clips import encode, greys, noise, overwrite
from tests.video.reading import Reading

from hermes_stream.errors import VideoError
from hermes_stream.video import FileSource, SourceOptions, open_source
from hermes_stream.video.sources.source import ClockPoint, SourceState


def test_as_fast_as_it_goes(clip):
    source = open_source(clip, SourceOptions(pace="fast"))
    with Reading(source) as reading:
        reading.ended()
    assert reading.times == [frame.pts_seconds for frame in FileSource(clip)]
    assert reading.kinds == ["opened", "ended"]
    assert (source.stats.state, source.stats.reason) == (SourceState.ENDED, "the file has ended")
    assert (source.stats.declared_fps, source.stats.codec) == (10, "h264")


def test_at_its_own_pace(tmp_path):
    clip = encode(tmp_path / "clip.mp4", greys(12))
    began = time.monotonic()
    source = open_source(clip, SourceOptions(fps=5))
    with Reading(source) as reading:
        reading.ended()
    assert 0.9 < time.monotonic() - began < 1.6
    assert reading.times == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_it_stops_at_once(clip):
    with Reading(open_source(clip)) as reading:
        reading.more_frames(2)
        began = time.monotonic()
        reading.source.stop()
        reading.ended()
        assert time.monotonic() - began < 0.5
    assert reading.source.stats.reason == "stopped"
    assert "ended" not in reading.kinds


def test_its_clock_begins_at_zero_or_goes_on(tmp_path):
    late = encode(tmp_path / "late.mkv", greys(5), pts_ms=[5000 + 100 * k for k in range(5)])
    assert next(iter(open_source(late, SourceOptions(pace="fast")))).pts_seconds == 0
    point = ClockPoint(zero_wall_seconds=time.time() - 60, newest_seconds=50.0)
    fast = list(open_source(late, SourceOptions(pace="fast", goes_on=point)))
    assert 50 < fast[0].pts_seconds < 50.1
    own = list(open_source(late, SourceOptions(goes_on=point)))
    assert own[0].pts_seconds == pytest.approx(60, abs=1)


def test_damage_is_told(busy_clip):
    overwrite(busy_clip, 0.5, noise(3000))
    with Reading(open_source(busy_clip, SourceOptions(pace="fast"))) as reading:
        reading.ended()
    assert reading.kinds == ["opened", "ended"]
    assert "damaged" in reading.events[-1].reason


def test_a_file_that_goes_away_fails(clip):
    source = open_source(clip)
    clip.unlink()
    with Reading(source) as reading:
        reading.ended()
    assert reading.kinds[-1] == "failed"
    assert source.stats.state is SourceState.FAILED


def test_a_file_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(VideoError, match="does not exist"):
        open_source(tmp_path / "nothing.mp4")
    with pytest.raises(VideoError, match="does not exist"):
        open_source(f"file://{tmp_path}/nothing%20here.mp4")


@pytest.mark.parametrize(
    "bad",
    [
        {"fps": 0},
        {"max_image_pixels": 0},
        {"max_pixels": 0},
        {"pace": "slow"},
        {"transport": "pigeon"},
        {"silent_seconds": 0},
        {"silent_seconds": float("inf")},
        {"schedule": "never"},
        {"schedule": "08:00-09:00", "time_zone": "Nowhere"},
        {"rotation": 1},
    ],
)
def test_bad_options_are_refused(bad):
    with pytest.raises(ValueError, match=next(reversed(bad))):
        SourceOptions(**bad)
