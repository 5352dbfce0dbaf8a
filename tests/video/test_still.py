"""Pictures of phones: EXIF, tiles, what was cut off, sequences, animations."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.video.clips import encode, greys, order, shown
from tests.video.heif import crop, mirror, rotate, write_heic
from tests.video.test_pixels import corner_image

from hermes_stream.errors import VideoError
from hermes_stream.video import FileSource


def with_exif(file, form, *, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "camera"
    Image.fromarray(corner_image()).save(file, form, exif=exif, quality=95)


def is_close(image, expected):
    return image.shape == expected.shape and np.abs(image.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_pictures_of_cameras_are_shown_the_way_they_were_held(tmp_path, form, orientation):
    path = tmp_path / f"a.{form.lower()}"
    with_exif(path, form, orientation=orientation)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    source = FileSource(path)
    (frame,) = source
    assert (source.height, source.width) == expected.shape[:2]
    assert is_close(frame.image, expected)


def video_of_exif(path, orientations):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index, orientation in enumerate(orientations):
            file = io.BytesIO()
            with_exif(file, "JPEG", orientation=orientation)
            packet = av.Packet(file.getvalue())
            packet.stream, packet.pts, packet.dts = stream, index, index
            packet.time_base, packet.is_keyframe = Fraction(1, 10), True
            container.mux(packet)
    return FileSource(path)


@pytest.mark.parametrize("suffix", ["avi", "mov", "mkv"])
def test_a_video_of_pictures_with_exif(tmp_path, suffix):
    """All images have the size of the first, also where one was held differently."""
    source = video_of_exif(tmp_path / f"a.{suffix}", [6, 6, 1])
    frames = list(source)
    assert {frame.image.shape for frame in frames} == {(source.height, source.width, 3)} == {(64, 48, 3)}
    assert is_close(frames[1].image, np.rot90(corner_image(), -1))
    assert source.damage is None


@pytest.mark.parametrize("orientations", [range(1, 5), range(5, 9), [4, 1, 3, 2], [8, 7, 6, 5]])
def test_a_mirror_may_change_within_a_video(tmp_path, orientations):
    for frame, orientation in zip(video_of_exif(tmp_path / "a.avi", orientations), orientations, strict=True):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        Image.fromarray(corner_image()).save(file, "PNG", exif=exif)
        with Image.open(file) as picture:
            assert is_close(frame.image, np.asarray(ImageOps.exif_transpose(picture).convert("RGB")))


def numbered(count):
    return [np.full((64, 64, 3), 40 * k, np.uint8) for k in range(1, count + 1)]


def middles(image, rows, columns):
    height, width = image.shape[0] // rows, image.shape[1] // columns
    sampled = image[height // 2 :: height, width // 2 :: width].mean(axis=-1)
    return np.rint(sampled / 40).astype(int).tolist()


def test_tiles_are_put_together(tmp_path):
    path = write_heic(tmp_path / "a.heic", numbered(6), columns=3, size=(180, 120))
    source = FileSource(path)
    (frame,) = source
    assert (source.width, source.height, source.codec) == (180, 120, "hevc")
    assert middles(frame.image, 2, 3) == [[1, 2, 3], [4, 5, 6]]
    assert FileSource(path, video_stream=1).width == 64  # a tile, where it is asked for


@pytest.mark.parametrize(
    ("properties", "size", "expected"),
    [
        ([rotate(1)], (120, 180), [[3, 6], [2, 5], [1, 4]]),
        ([rotate(2)], (180, 120), [[6, 5, 4], [3, 2, 1]]),
        ([rotate(3)], (120, 180), [[4, 1], [5, 2], [6, 3]]),
        ([mirror(0)], (180, 120), [[4, 5, 6], [1, 2, 3]]),
        ([mirror(1)], (180, 120), [[3, 2, 1], [6, 5, 4]]),
        ([crop(120, 60, 30, 30)], (120, 60), [[5, 6]]),
    ],
)
def test_what_is_done_to_tiles(tmp_path, properties, size, expected):
    path = write_heic(tmp_path / "a.heic", numbered(6), columns=3, size=(180, 120), properties=properties)
    source = FileSource(path)
    (frame,) = source
    assert (source.width, source.height) == size
    assert middles(frame.image, len(expected), len(expected[0])) == expected


@pytest.mark.parametrize("turned", [False, True])
def test_what_was_cut_off_is_not_shown(tmp_path, turned):
    slope = np.zeros((64, 96, 3), np.uint8)
    slope[:] = np.arange(96)[:, None] * 2
    cut = crop(64, 32, 8, 0)  # columns 24 to 88
    path = write_heic(tmp_path / "a.heic", [slope], properties=[cut, rotate(1)] if turned else [cut])
    (frame,) = FileSource(path)
    expected = slope[16:48, 24:88]
    assert is_close(frame.image, np.rot90(expected) if turned else expected)


DONE = {"r": lambda n, image: np.rot90(image, n), "m": lambda n, image: image[:: n or -1, :: -n or 1]}
PROPERTIES = {"r": rotate, "m": mirror}
ORDERS = ["r1", "r2", "r3", "m0", "m1", "r1 m0", "m0 r1", "r3 m1", "m1 r3", "m0 r2", "m1 r1 m0"]


@pytest.mark.parametrize("cut_first", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_what_is_done_to_a_picture_is_done_in_order(tmp_path, order, cut_first):
    image, properties = np.kron(corner_image(), np.ones((2, 2, 1), np.uint8)), []
    cut = crop(80, 80, 0, 0)
    expected = image[8:88, 24:104] if cut_first else image
    for kind, number in order.split():
        properties.append(PROPERTIES[kind](int(number)))
        expected = DONE[kind](int(number), expected)
    if not cut_first:
        height, width = expected.shape[:2]
        expected = expected[height // 2 - 40 : height // 2 + 40, width // 2 - 40 : width // 2 + 40]
    properties.insert(0 if cut_first else len(properties), cut)
    (frame,) = FileSource(write_heic(tmp_path / "a.heic", [image], properties=properties))
    assert is_close(frame.image, expected)


@pytest.mark.parametrize("kind", [b"iovl", b"iden", b"tmap"])
def test_pictures_laid_over_each_other_are_refused(tmp_path, kind):
    path = write_heic(tmp_path / "a.heic", numbered(6), columns=3, size=(180, 120))
    path.write_bytes(path.read_bytes().replace(b"grid", kind))
    with pytest.raises(VideoError, match="made of several, and how cannot be read; convert it to JPEG"):
        FileSource(path)


def test_tiles_that_do_not_belong_together_are_refused(tmp_path):
    path = write_heic(tmp_path / "a.heic", numbered(6), columns=3, size=(180, 120))
    path.write_bytes(path.read_bytes().replace(b"dimg", b"gone"))
    with pytest.raises(VideoError, match=r"a picture made of several.*convert it to JPEG"):
        FileSource(path)


def test_tiles_make_no_larger_picture_than_is_allowed(tmp_path):
    path = write_heic(tmp_path / "a.heic", numbered(6), columns=3, size=(180, 120))
    with pytest.raises(VideoError, match="180 x 120 = 21600 pixels, at most 20000"):
        FileSource(path, max_pixels=20_000)


def test_a_sequence_is_shown_and_not_its_title(tmp_path):
    path = encode(tmp_path / "a.avif", greys(6), codec="libsvtav1", format="avif")
    assert order(FileSource(path)) == list(range(6))


def test_an_animated_picture(tmp_path):
    first, *others = [Image.fromarray(image) for image in greys(4)]
    for suffix in ("gif", "png", "webp"):
        first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others, duration=500)
    for suffix in ("gif", "png"):
        frames = list(FileSource(tmp_path / f"a.{suffix}"))
        assert [shown(frame.image) for frame in frames] == [0, 1, 2, 3]
        assert [frame.pts_seconds for frame in frames] == [0.0, 0.5, 1.0, 1.5]
    with pytest.raises(VideoError, match="is an animated WebP, which is not decoded; convert it"):
        FileSource(tmp_path / "a.webp")
