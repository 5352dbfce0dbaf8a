from __future__ import annotations

import av
import numpy as np
import pytest
from tests.video.clips import greys, shown

from hermes_stream.errors import VideoError
from hermes_stream.video import FileSource, Frame, write_video

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (30, 200, 120), (220, 170, 140)]


def test_flat_colours_come_back(tmp_path):
    images = [np.full((48, 64, 3), colour, np.uint8) for colour in COLOURS]
    assert write_video(tmp_path / "a.mp4", images, fps=5, crf=1) == len(COLOURS)
    for colour, frame in zip(COLOURS, FileSource(tmp_path / "a.mp4"), strict=True):
        assert np.abs(frame.image.astype(int) - colour).max() <= 3


def test_file_is_tagged_h264(tmp_path):
    write_video(tmp_path / "a.mp4", greys(3), fps=10)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        picture = next(container.decode(stream))
        assert (stream.codec_context.name, picture.format.name) == ("h264", "yuv420p")
        assert (picture.colorspace, picture.color_range) == (1, 1)
        assert (picture.color_primaries, picture.color_trc) == (1, 1)


@pytest.mark.parametrize("fps", [1, 25, 30000 / 1001, 12.5, 0.5])
def test_rate_is_kept_and_own_times_are_not(tmp_path, fps):
    frames = [Frame(pts_seconds=100.0 + k * k, image=image) for k, image in enumerate(greys(6))]
    write_video(tmp_path / "a.mp4", iter(frames), fps=fps)
    source = FileSource(tmp_path / "a.mp4")
    assert source.fps_native == pytest.approx(fps, rel=1e-9)
    assert source.duration_seconds == pytest.approx(6 / fps, abs=1e-3)
    result = list(source)
    assert [frame.pts_seconds for frame in result] == pytest.approx([k / fps for k in range(6)], abs=1e-3)
    assert [shown(frame.image) for frame in result] == list(range(6))


def test_odd_sizes_double_the_last_row_and_column(tmp_path):
    image = np.zeros((95, 127, 3), np.uint8)
    image[:, -9:] = 255
    write_video(tmp_path / "a.mp4", [image], fps=1)
    (frame,) = FileSource(tmp_path / "a.mp4")
    assert frame.image.shape == (96, 128, 3)
    assert frame.image[:, -4:].min() > 240
    assert frame.image[:, :100].max() < 15


def test_file_is_vp9_where_that_is_chosen(tmp_path):
    images = [np.full((48, 64, 3), colour, np.uint8) for colour in COLOURS]
    assert write_video(tmp_path / "a.mp4", images, fps=5, crf=1, encoder="libvpx-vp9") == len(COLOURS)
    with av.open(str(tmp_path / "a.mp4")) as container:
        picture = next(container.decode(video=0))
        assert (container.streams.video[0].codec_context.name, picture.format.name) == ("vp9", "yuv420p")
        assert (picture.colorspace, picture.color_range) == (1, 1)
    source = FileSource(tmp_path / "a.mp4")
    assert (source.codec, source.fps_native) == ("vp9", 5)
    for number, (colour, frame) in enumerate(zip(COLOURS, source, strict=True)):
        assert frame.pts_seconds == pytest.approx(number / 5, abs=1e-3)
        assert np.abs(frame.image.astype(int) - colour).max() <= 4


def test_an_encoder_that_is_not_here_is_done_without_or_named(tmp_path, monkeypatch):
    """PyAV without x264, as a build for the LGPL alone has it."""

    def built_without(name: str, mode: str, known=av.Codec):
        return known("no such encoder" if name == "libx264" else name, mode)

    monkeypatch.setattr(av, "Codec", built_without)
    write_video(tmp_path / "a.mp4", greys(2), fps=5)
    assert FileSource(tmp_path / "a.mp4").codec == "vp9"
    with pytest.raises(VideoError, match="built without libx264"):
        write_video(tmp_path / "b.mp4", greys(2), fps=5, encoder="libx264")
    with pytest.raises(ValueError, match="encoder is 'x264'; accepted: libx264, libvpx-vp9"):
        write_video(tmp_path / "b.mp4", greys(2), fps=5, encoder="x264")
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize("encoder", ["libx264", "libvpx-vp9"])
def test_same_frames_give_the_same_bytes(tmp_path, encoder):
    images = list(np.random.default_rng(0).integers(0, 256, (5, 96, 128, 3), dtype=np.uint8))
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, images, fps=10, encoder=encoder)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"before")

    def failing():
        yield from greys(3)
        raise RuntimeError("camera unplugged")

    with pytest.raises(RuntimeError, match="unplugged"):
        write_video(path, failing(), fps=10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "frames is empty"),
        ([np.zeros((4, 4), np.uint8)], r"frame 0 is uint8 \[4, 4\]; accepted"),
        ([np.zeros((4, 4, 3), np.float32)], "frame 0 is float32"),
        ([np.zeros((0, 4, 3), np.uint8)], "frame 0 is uint8"),
        ([*greys(1), *greys(1, width=32)], r"frame 1 is \[48, 32, 3\].*one size"),
    ],
)
def test_refuses_wrong_frames(tmp_path, frames, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", frames, fps=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("a.mp4", {"fps": 0}, "fps is 0"),
        ("a.mp4", {"fps": float("nan")}, "fps is nan"),
        ("a.mp4", {"fps": 1e-9}, "fps is 1e-09"),
        ("a.mp4", {"fps": 10, "crf": 52}, "crf is 52"),
        ("a.avi", {"fps": 10}, "must end in .mp4"),
    ],
)
def test_refuses_wrong_arguments(tmp_path, name, how, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / name, greys(1), **how)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(VideoError, match="no folder"):
        write_video(tmp_path / "none" / "a.mp4", greys(1), fps=10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a" * 300 + ".mp4", "cannot be written: File name too long"),
        ("\ud800.mp4", "no name that a file can have"),
        ("a\0.mp4", "no name that a file can have"),
        ("\ud800/a.mp4", "no name that a file can have"),
    ],
)
def test_names_that_no_file_can_have(tmp_path, name, message):
    with pytest.raises(VideoError, match=message):
        write_video(tmp_path / name, greys(1), fps=10)
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_that_a_file_can_have(tmp_path):
    assert write_video(tmp_path / ("a" * 251 + ".mp4"), greys(1), fps=10) == 1


def test_unwritable_target_is_named(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(VideoError, match=r"a\.mp4 cannot be written"):
        write_video(tmp_path / "a.mp4", greys(1), fps=10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
