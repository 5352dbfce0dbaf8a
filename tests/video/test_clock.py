from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from tests.video.clips import (
    add_video,
    encode,
    greys,
    order,
    shown,
    times,
)

from hermes_stream.video import FileSource
from hermes_stream.video.sources.clock import PictureClock


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "avi", "mov"])
def test_containers_keep_order_and_spacing(tmp_path, suffix):
    source = FileSource(encode(tmp_path / f"a.{suffix}", greys(20)))
    frames = list(source)
    assert [shown(frame.image) for frame in frames] == list(range(20))
    spaced = [source.start_seconds + k / 10 for k in range(20)]
    assert [frame.pts_seconds for frame in frames] == pytest.approx(spaced, abs=1e-3)
    assert source.duration_seconds == pytest.approx(2.0, abs=1e-3)
    assert order(FileSource(source.path, fps=1)) == [0, 10]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_late_start_is_kept(tmp_path, suffix):
    path = encode(tmp_path / f"a.{suffix}", greys(20), pts_ms=[8000 + 100 * k for k in range(20)])
    source = FileSource(path, fps=1)
    assert (source.start_seconds, source.duration_seconds) == (8.0, 2.0)
    assert times(source) == [8.0, 9.0]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_uneven_times(tmp_path, suffix):
    pts_ms = [0, 100, 1500, 1600, 4000, 4100]
    path = encode(tmp_path / f"a.{suffix}", greys(6), pts_ms=pts_ms, options={"bf": "0"})
    assert times(FileSource(path)) == pytest.approx([t / 1000 for t in pts_ms])
    assert order(FileSource(path, fps=1))[:5] == [0, 1, 3, 3, 4]


def test_raw_stream_without_times_or_duration(tmp_path):
    source = FileSource(encode(tmp_path / "a.h264", greys(20), format="h264"))
    assert (source.duration_seconds, source.fps_native, source.start_seconds) == (None, 10, 0)
    frames = list(source)
    assert [frame.pts_seconds for frame in frames] == pytest.approx([k / 10 for k in range(20)])
    assert [shown(frame.image) for frame in frames] == list(range(20))
    assert source.damage is None


def test_webm_without_duration(tmp_path):
    class Pipe:
        def __init__(self, file):
            self.write = file.write

    path = tmp_path / "a.webm"
    with path.open("wb") as file:
        encode(path, greys(20), codec="libvpx", format="webm", file=Pipe(file))
    source = FileSource(path, fps=1)
    assert source.duration_seconds is None
    assert times(source) == [0.0, 1.0]


def test_recording_that_begins_again_goes_on_in_time(tmp_path):
    """Two transport streams one after the other, as recorders leave them."""
    path = encode(tmp_path / "a.ts", greys(20))
    path.write_bytes(path.read_bytes() * 2)
    source = FileSource(path)
    frames = list(source)
    steps = np.diff([frame.pts_seconds for frame in frames])
    assert steps == pytest.approx(np.full(len(frames) - 1, 0.1), abs=1e-6)
    assert [shown(frame.image) for frame in frames] == list(range(20)) * 2
    assert "clock jumped 1 time" in source.damage


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "png"])
def test_one_picture(tmp_path, suffix):
    how = {"codec": "png", "pix_fmt": "rgb24", "format": "image2"} if suffix == "png" else {}
    path = encode(tmp_path / f"a.{suffix}", greys(1, step=0), **how)
    assert times(FileSource(path)) == times(FileSource(path, fps=2)) == [0.0]


def test_strange_duration_tag_is_ignored(tmp_path):
    path = encode(tmp_path / "a.mkv", greys(20))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"00:00:02.000000000", b"about two seconds."))
    source = FileSource(path)
    assert content != path.read_bytes()
    assert source.duration_seconds == 2.0


WRAP_MS = 2**33 / 90


def recording(path, start_ms, *, count=20, **how):
    """Pictures at 10 fps whose clock starts anywhere; transport streams keep 33 bits of it."""
    options = {"mpegts_copyts": "1"} if path.suffix == ".ts" else {}
    pts_ms = [round(start_ms) + 100 * k for k in range(count)]
    with av.open(str(path), "w", options=options) as container:
        container.mux(add_video(container, greys(count), pts_ms=pts_ms, **how))
    return path.read_bytes()


@pytest.mark.parametrize(("first_ms", "second_ms"), [(5_000_000, 1_500), (1_500, 5_000_000), (0, 12_500)])
def test_a_clock_that_changes_in_the_middle_makes_no_hours(tmp_path, first_ms, second_ms):
    """What an encoder leaves that was started again, lower as well as higher."""
    path = tmp_path / "a.ts"
    content = recording(path, first_ms) + recording(path, second_ms)
    path.write_bytes(content)
    source = FileSource(path)
    frames = list(source)
    assert len(frames) == 40
    assert source.duration_seconds == pytest.approx(4.0)
    seconds = [frame.pts_seconds - source.start_seconds for frame in frames]
    assert seconds == pytest.approx([k / 10 for k in range(40)], abs=1e-6)
    assert "clock jumped 1 time" in source.damage
    assert order(FileSource(path, fps=1)) == [0, 10, 0, 10]


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2", "g": "10"}])
def test_a_clock_that_passes_its_limit_goes_on(tmp_path, options):
    """33 bits of 90 kHz last for 26.5 hours; this recording begins 0.85 s before."""
    path = tmp_path / "a.ts"
    recording(path, WRAP_MS - 850, options=options)
    source = FileSource(path)
    frames = list(source)
    assert np.diff(times(frames)) == pytest.approx(np.full(19, 0.1), abs=0.02)
    assert [shown(frame.image) for frame in frames] == list(range(20))
    assert source.start_seconds == pytest.approx(WRAP_MS / 1000 - 0.85, abs=0.01)
    assert source.duration_seconds == pytest.approx(2.0, abs=0.02)
    assert source.damage is None


def test_a_gap_of_days_is_told_and_not_filled(tmp_path):
    path = encode(tmp_path / "a.mkv", greys(3), pts_ms=[0, 1_000, 1_000_000_000], options={"bf": "0"})
    source = FileSource(path, fps=1)
    frames = list(source)
    assert 60 < len(frames) < 130
    assert (frames[0].pts_seconds, frames[-1].pts_seconds) == (0.0, 1_000_000.0)
    assert "one picture stays for 999999 s, of which sampling fills 60 s" in source.damage
    assert len(list(FileSource(path))) == 3


def test_a_gap_of_less_than_a_minute_is_no_damage(tmp_path):
    path = encode(tmp_path / "a.mkv", greys(3), pts_ms=[0, 1_000, 55_000], options={"bf": "0"})
    source = FileSource(path, fps=1)
    assert len(list(source)) >= 55
    assert source.damage is None


def clock_of(*, format_name="matroska", flags=0, time_base=Fraction(1), start_time=0, rate=Fraction(10)):
    container = SimpleNamespace(format=SimpleNamespace(name=format_name, flags=flags))
    stream = SimpleNamespace(
        container=container, time_base=time_base, start_time=start_time, guessed_rate=rate, average_rate=rate
    )
    return PictureClock(stream, known_end_seconds=None)


def stamps(clock, ticks, *, duration=0):
    pictures = (SimpleNamespace(pts=one, dts=one, duration=duration) for one in ticks)
    return [stamp and round(stamp[0], 6) for stamp in map(clock.stamp, pictures)]


@pytest.mark.parametrize(
    ("how", "ticks", "expected"),
    [
        ({}, [0, 1, 10**8], [0, 1, 1.1]),  # nothing pauses for years
        ({}, [10**17, 10**17 + 1], [0, 1]),  # floats could not tell these apart
        ({}, [1_700_000_000, 1_700_000_001], [1_700_000_000, 1_700_000_001]),  # seconds since 1970
        ({}, [None, 5, None], [0, 5, 5.1]),
        ({"start_time": 10**17}, [None, None], [0, 0.1]),
        ({"time_base": Fraction(0)}, [0, 7, 9], [0, 0.1, 0.2]),
        ({"rate": Fraction(1, 10**9)}, [None, None], [0, 60]),
        ({"format_name": "mpegts", "flags": 0x200}, [0, 9, 20], [0, 9, 9.1]),
        ({}, [0, 9, 20, 15], [0, 9, 20, 20.1]),
        ({}, [5, 4.5], [5, None]),
    ],
)
def test_whatever_a_file_says_times_increase_and_stay_within_reason(how, ticks, expected):
    assert stamps(clock_of(**how), ticks) == expected


def test_a_duration_of_centuries_is_none():
    clock = clock_of()
    assert clock.stamp(SimpleNamespace(pts=0, dts=0, duration=10**12)) == (0.0, 0.0)
    assert clock.longest_stay_seconds == pytest.approx(0.1)
