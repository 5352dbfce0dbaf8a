"""Pictures as JPEG, in memory: near to what they were, and refused in words where they are none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hermes_stream.errors import VideoError
from hermes_stream.video.jpeg import decode_jpeg, encode_jpeg
from hermes_stream.video.picture import decode_picture


def picture(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    ramp = np.stack([rows * 255 // height, columns * 255 // width, np.full_like(rows, 90)], axis=2)
    return ramp.astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (33, 51), (1, 1), (360, 640)])
def test_a_picture_comes_back(size):
    image = picture(*size)
    encoded = encode_jpeg(image, quality=95)
    again = decode_jpeg(encoded)
    assert again.shape == image.shape
    assert np.abs(again.astype(int) - image).mean() < 6
    with Image.open(io.BytesIO(encoded)) as opened:  # another decoder sees the same
        assert np.abs(np.asarray(opened.convert("RGB")).astype(int) - again).mean() < 6


def test_another_encoder_is_read():
    image, file = picture(48, 80), io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    assert np.abs(decode_jpeg(file.getvalue()).astype(int) - image).mean() < 6
    Image.fromarray(image).convert("L").save(grey := io.BytesIO(), "JPEG")
    assert decode_jpeg(grey.getvalue()).shape == (48, 80, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_is_shown_the_way_its_camera_was_held(form):
    image, exif, file = picture(48, 80), Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(image).save(file, form, exif=exif, quality=95)
    shown = decode_picture(file.getvalue())
    assert shown.shape == (80, 48, 3)
    assert np.abs(shown.astype(int) - np.rot90(image, -1)).mean() < 6


def test_quality_and_size_are_chosen():
    image = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    sizes = [len(encode_jpeg(image, quality=quality)) for quality in (1, 50, 100)]
    assert sizes[0] < sizes[1] < sizes[2]
    small = decode_jpeg(encode_jpeg(image, max_pixels=5000))
    assert small.shape[0] * small.shape[1] <= 5100
    assert decode_jpeg(encode_jpeg(image, max_pixels=10**6)).shape == image.shape


@pytest.mark.parametrize(
    "encoded", [b"", b"no picture", b"\xff\xd8", b"\xff\xd8" + bytes(500), encode_jpeg(picture(99, 99))[:400]]
)
def test_what_is_no_jpeg_is_refused(encoded):
    with pytest.raises(VideoError, match="JPEG"):
        decode_jpeg(encoded)


def test_what_is_too_large_is_refused():
    with pytest.raises(VideoError, match="cannot be decoded"):
        decode_jpeg(encode_jpeg(picture(200, 200)), max_pixels=10_000)
    with pytest.raises(ValueError, match="16384 pixels on a side"):
        encode_jpeg(np.zeros((1, 20_000, 3), np.uint8))


@pytest.mark.parametrize("image", [np.zeros((2, 2)), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)])
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(ValueError, match="image must be uint8"):
        encode_jpeg(image)


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_that_is_none_is_refused(quality):
    with pytest.raises(ValueError, match=f"from 1 to 100, got {quality}"):
        encode_jpeg(picture(2, 2), quality=quality)
