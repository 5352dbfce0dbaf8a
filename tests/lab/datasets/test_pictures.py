"""Arrays, folders of pictures and parts of videos, as sources like any other."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from tests.lab.watchers import Pictures, grey

from hermes_lab.datasets.pictures import ClipSource, damage_of, open_source
from hermes_stream.errors import VideoError


def image(level):
    return np.full((8, 12, 3), level, dtype=np.uint8)


def played(source):
    return [(round(frame.pts_seconds, 6), int(frame.image.mean())) for frame in source]


@pytest.fixture
def array(tmp_path):
    path = tmp_path / "tt1.npy"
    np.save(path, np.stack([image(10 * k) for k in range(6)]))
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "clip"
    path.mkdir()
    for k in range(1, 13):
        Image.fromarray(image(10 * k)).save(path / f"frame{k}.png")
    (path / "notes.txt").touch()
    return path


def test_an_array(array):
    source = open_source(array, fps=1, pictures_fps=None, clip=None)
    assert (source.start_seconds, source.duration_seconds) == (0, 6)
    assert played(source) == [(float(k), 10 * k) for k in range(6)] == played(source)
    assert played(open_source(array, fps=0.5, pictures_fps=None, clip=None)) == [(0, 0), (2, 20), (4, 40)]
    assert played(open_source(array, fps=1, pictures_fps=3, clip=None)) == [(0, 0), (1, 30)]
    assert damage_of(source) is None


def test_a_folder_in_the_order_of_numbers(folder):
    source = open_source(folder, fps=3, pictures_fps=3, clip=None)
    assert source.duration_seconds == 4
    assert [level for _, level in played(source)] == [10 * k for k in range(1, 13)]
    assert played(open_source(folder, fps=1, pictures_fps=3, clip=None)) == [
        (0, 10),
        (1, 40),
        (2, 70),
        (3, 100),
    ]


def test_a_part(array):
    source = open_source(array, fps=1, pictures_fps=None, clip=(2.0, 4.0))
    assert (source.start_seconds, source.duration_seconds) == (2, 2)
    assert played(source) == [(2, 20), (3, 30), (4, 40)]


def test_a_part_without_a_frame_shows_the_last_before():
    source = ClipSource(Pictures([grey(5.0), grey(6.0), grey(7.0)]), (1.2, 1.8))
    assert [frame.pts_seconds for frame in source] == [6.2]
    assert next(iter(ClipSource(Pictures([grey(5.0)]), (0.0, 0.0)))).pts_seconds == 5.0


@pytest.mark.parametrize(
    "held",
    [np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 4), np.uint8), np.zeros((0, 4, 4, 3), np.uint8)],
)
def test_arrays_of_something_else(tmp_path, held):
    np.save(tmp_path / "a.npy", held)
    with pytest.raises(VideoError, match="must hold uint8 pictures"):
        open_source(tmp_path / "a.npy", fps=1, pictures_fps=None, clip=None)


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(VideoError, match="never unpickled"):
        open_source(tmp_path / "a.npy", fps=1, pictures_fps=None, clip=None)
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(VideoError, match="cannot be read"):
        open_source(tmp_path / "b.npy", fps=1, pictures_fps=None, clip=None)


def test_folders_that_cannot_be_shown(tmp_path, folder):
    with pytest.raises(VideoError, match="holds no pictures"):
        open_source(tmp_path / "clip" / "..", fps=1, pictures_fps=None, clip=None)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "frame2.png")
    with pytest.raises(VideoError, match="one size"):
        played(open_source(folder, fps=1, pictures_fps=None, clip=None))
    (folder / "frame1.png").write_bytes(b"no picture")
    with pytest.raises(VideoError, match=r"frame1\.png"):
        played(open_source(folder, fps=1, pictures_fps=None, clip=None))


def test_pictures_of_cameras(tmp_path):
    """EXIF is read and its orientation applied, whatever else it holds."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    for k in range(3):
        Image.fromarray(image(40 * k)).save(tmp_path / f"{k}.jpg", exif=exif, quality=100)
    frames = list(open_source(tmp_path, fps=1, pictures_fps=None, clip=None))
    assert {frame.image.shape for frame in frames} == {(12, 8, 3)}
    assert [round(frame.image.mean() / 40) for frame in frames] == [0, 1, 2]


def test_pictures_that_stay_for_more_than_a_minute_are_told(array):
    source = open_source(array, fps=1, pictures_fps=0.01, clip=None)
    assert len(list(source)) == 6 * 60
    assert damage_of(source) == "each picture stays for 100 s, of which sampling fills 60 s"


def archive(path):
    np.savez(path.with_suffix(".npz"), a=image(0))
    path.with_suffix(".npz").rename(path)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("pipe.npy", os.mkfifo, "not a regular file"),
        ("several.npy", archive, "holds several arrays"),
        ("none.npy", lambda path: np.save(path, np.zeros((3, 0, 4, 3), np.uint8)), "must hold uint8"),
        (
            "endless.npy",
            lambda path: path.write_bytes(
                b"\x93NUMPY\x01\x00\x76\x00"
                + b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999999, 9, 9, 3), }".ljust(117)
                + b"\n"
            ),
            "cannot be read as an array",
        ),
        ("a" * 300, lambda path: None, "cannot be reached: File name too long"),
        ("a" * 300 + ".npy", lambda path: None, "cannot be reached: File name too long"),
    ],
)
def test_what_is_no_array_is_refused_in_words(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(VideoError, match=message):
        open_source(tmp_path / name, fps=1, pictures_fps=None, clip=None)
