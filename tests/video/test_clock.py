from __future__ import annotations

import numpy as np
import pytest
from tests.video.clips import (
    encode,
    greys,
    order,
    shown,
    times,
)

from hermes_stream.video import FileSource


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
