from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.video.clips import (
    MEDIA,
    noise,
    order,
    overwrite,
    shown,
    times,
)

from hermes_stream.video import FileSource, sample_frames
from hermes_stream.video.sources import pixels

CLIPS = sorted(path.name for path in MEDIA.iterdir() if path.is_file() and path.suffix != ".md")


@pytest.mark.parametrize(
    ("name", "codec", "size", "fps_native", "start_seconds", "duration_seconds", "num_frames"),
    [
        ("av1_video.mkv", "av1", (640, 360), 25, 0, 5.0, 125),
        ("bt601_limited_range.mp4", "h264", (320, 240), 30, 0, 2.0, 60),
        ("h265_video.mp4", "hevc", (128, 128), 10, 0, 1.0, 10),
        ("nasa_13013_rotated.mp4", "h264", (270, 480), 30000 / 1001, 0, 0.567233, 17),
        ("test_non_zero_start.mp4", "h264", (200, 112), 30, 8.3330078125, 0.4, 12),
        ("testsrc2_vp9.webm", "vp9", (1280, 720), 30, 0, 1.0, 30),
    ],
)
def test_shared_clips(name, codec, size, fps_native, start_seconds, duration_seconds, num_frames):
    source = FileSource(MEDIA / name)
    assert source.path == MEDIA / name
    assert (source.codec, (source.width, source.height)) == (codec, size)
    assert source.fps_native == pytest.approx(fps_native)
    assert source.start_seconds == pytest.approx(start_seconds)
    assert source.duration_seconds == pytest.approx(duration_seconds, abs=1e-5)
    result = times(source)
    assert len(result) == num_frames
    assert result[0] == source.start_seconds
    assert all(a < b for a, b in pairwise(result))
    assert source.damage is None


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("fps", [0.5, 1, 2])
def test_sampled_count_agrees_with_the_declared_duration(name, fps):
    source = FileSource(MEDIA / name, fps=fps)
    result = times(source)
    assert len(result) == math.ceil(source.duration_seconds * fps - 1e-6)
    assert result == [source.start_seconds + k / fps for k in range(len(result))]


def test_sampling_in_the_source_equals_sampling_its_frames(clip):
    inside, outside = FileSource(clip, fps=3), sample_frames(FileSource(clip), fps=3)
    for ours, theirs in zip(inside, outside, strict=True):
        assert ours.pts_seconds == theirs.pts_seconds
        assert ours.duration_seconds == theirs.duration_seconds
        assert np.array_equal(ours.image, theirs.image)


def test_sampling_converts_only_what_it_yields(clip, monkeypatch):
    converted = []
    plain = pixels.RgbConverter.convert
    monkeypatch.setattr(pixels.RgbConverter, "convert", lambda s, p: converted.append(p.pts) or plain(s, p))
    source = FileSource(clip, fps=1)
    converted.clear()
    assert len(list(source)) == len(converted) == 2


def test_each_iteration_starts_anew(clip):
    source = FileSource(clip)
    assert order(source) == order(source) == list(range(20))


def test_images_are_independent_and_writable(clip):
    first, second = list(FileSource(clip))[:2]
    first.image[:] = 7
    assert second.image.flags.c_contiguous
    assert second.image.flags.owndata
    assert shown(second.image) == 1


@pytest.mark.parametrize("kind", [str, Path])
def test_takes_text_and_path(clip, kind):
    assert len(list(FileSource(kind(clip), fps=1))) == 2


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files through /proc")
def test_abandoned_iterations_close_the_file(clip):
    def num_open():
        return sum(link.resolve() == clip.resolve() for link in Path("/proc/self/fd").iterdir())

    iterator = iter(FileSource(clip))
    next(iterator)
    assert num_open() == 1
    iterator.close()
    assert num_open() == 0
    for _ in FileSource(clip, fps=1):
        break
    gc.collect()
    assert num_open() == 0


def test_damage_is_logged_not_printed(busy_clip):
    overwrite(busy_clip, 0.5, noise(2000))
    program = (
        "import logging, sys; logging.disable(); from hermes_stream.video import FileSource; "
        "source = FileSource(sys.argv[1]); list(source); assert source.damage"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(busy_clip)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_the_package_needs_no_pyav():
    program = "import sys, hermes_stream.video as v; v.sample_frames; v.Frame; assert 'av' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
