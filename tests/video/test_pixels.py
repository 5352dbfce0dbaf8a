from __future__ import annotations

import gc
from fractions import Fraction

import av
import numpy as np
import pytest
from tests.video.clips import (
    MEDIA,
    encode,
    greys,
    order,
    shown,
)

from hermes_stream.video import FileSource


def corner_image(height=48, width=64):
    """Red, green, blue and white in the corners, clockwise from the upper left."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:16, :16], image[:16, -16:] = (255, 0, 0), (0, 255, 0)
    image[-16:, -16:], image[-16:, :16] = (0, 0, 255), (255, 255, 255)
    return image


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_shown_upright(tmp_path, degrees, hflip):
    image = corner_image()
    rotation = {"degrees": degrees, "hflip": hflip}
    source = FileSource(encode(tmp_path / "a.mp4", [image] * 2, rotation=rotation, options={"crf": "1"}))
    with av.open(str(source.path)) as container:
        told = next(container.decode(video=0)).rotation % 360
    turned = np.rot90(image, degrees // 90)  # counterclockwise
    expected = turned[:, ::-1] if hflip else turned
    if not hflip:
        assert told == degrees
    frame = next(iter(source))
    assert frame.image.shape == (source.height, source.width, 3) == expected.shape
    assert np.abs(frame.image.astype(int) - expected).mean() < 12


def test_rotated_clip_is_turned_a_quarter_counterclockwise():
    path = MEDIA / "nasa_13013_rotated.mp4"
    with av.open(str(path)) as container:
        coded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(next(iter(FileSource(path))).image, np.rot90(coded))


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("color_range", [1, 2])
def test_colours_follow_matrix_and_range(tmp_path, matrix, color_range):
    kr, kb = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    r, g, b = np.array([200, 90, 40]) / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    scale, offset, chroma = (219, 16, 224) if color_range == 1 else (255, 0, 255)
    picture = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(
        picture.planes, (scale * y + offset, chroma * cb + 128, chroma * cr + 128), strict=True
    ):
        plane.update(bytes([round(value)]) * plane.buffer_size)
    colours = {"colorspace": matrix, "color_range": color_range}
    path = encode(tmp_path / "a.mkv", [picture], colours=colours, options={"crf": "1"})
    (frame,) = FileSource(path)
    assert np.abs(frame.image.astype(int) - [200, 90, 40]).max() <= 3


@pytest.mark.parametrize("name", ["bt601_limited_range.mp4", "av1_video.mkv"])
def test_pictures_equal_ffmpegs_own_conversion(name):
    with av.open(str(MEDIA / name)) as container:
        expected = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(next(iter(FileSource(MEDIA / name))).image, expected)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_ten_bits(tmp_path, codec):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = encode(tmp_path / "a.mp4", greys(5), codec=codec, pix_fmt="yuv420p10le", options=options)
    assert order(FileSource(path)) == list(range(5))


def coded_hdr(nits, transfer):
    """BT.2020 RGB code values, 16 bits, of a flat BT.709-coloured light in cd/m2."""
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    light = to_bt2020 @ np.asarray(nits, float)
    if transfer == 16:
        root = (light / 10000) ** 0.1593017578125
        coded = ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375
    else:
        luma = light @ [0.2627, 0.6780, 0.0593] / 1000
        scene = light / 1000 * luma ** (1 / 1.2 - 1)
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        coded = np.where(
            scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
        )
    image = np.zeros((48, 64, 3), np.uint16)
    image[:] = np.rint(coded * 65535)
    return image


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize(
    ("nits", "expected"),
    [
        ((50.0, 50.0, 50.0), (135, 135, 135)),  # below the knee: kept, (50 / 203) ** (1 / 2.2)
        ((80.0, 20.0, 10.0), (167, 89, 65)),
        ((203.0, 203.0, 203.0), (224, 224, 224)),  # reference white stays bright
        ((1000.0, 1000.0, 1000.0), (255, 255, 255)),
    ],
)
def test_high_dynamic_range_looks_ordinary(tmp_path, transfer, nits, expected):
    colours = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1}
    image = coded_hdr(nits, transfer)
    picture = av.VideoFrame.from_ndarray(image, format="rgb48le")
    picture = picture.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
    path = encode(tmp_path / "a.mkv", [picture], pix_fmt="yuv420p10le", colours=colours, options={"crf": "1"})
    (frame,) = FileSource(path)
    assert np.abs(frame.image[24, 32].astype(int) - expected).max() <= 6


@pytest.mark.parametrize("size", [(95, 127), (97, 130), (1, 1), (3, 2)])
def test_odd_sizes(tmp_path, size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    source = FileSource(encode(tmp_path / "a.mkv", [image] * 2, codec="ffv1", pix_fmt="bgr0"))
    assert (source.height, source.width) == size
    assert all(np.array_equal(frame.image, image) for frame in source)


def test_a_low_interlaced_picture_is_read(tmp_path):
    fields = {"x264-params": "tff=1:interlaced=1"}
    path = encode(tmp_path / "clip.ts", greys(3), options=fields)
    assert order(FileSource(path)) == [0, 1, 2]


def test_odd_size_with_shared_chroma(tmp_path):
    source = FileSource(
        encode(tmp_path / "a.webm", greys(3, height=95, width=127), codec="libvpx", pix_fmt="yuv420p")
    )
    assert (source.height, source.width) == (95, 127)
    assert all(np.ptp(frame.image) <= 4 for frame in source)


@pytest.mark.parametrize("pix_fmt", ["rgb24", "rgba", "rgb48be"])
def test_pixel_formats_of_a_still_picture(tmp_path, pix_fmt):
    path = encode(tmp_path / "a.png", [corner_image()], codec="png", pix_fmt=pix_fmt, format="image2")
    (frame,) = FileSource(path)
    assert np.array_equal(frame.image, corner_image())


def test_grey_and_palette(tmp_path):
    grey = encode(tmp_path / "a.png", greys(1), codec="png", pix_fmt="gray", format="image2")
    palette = encode(tmp_path / "a.gif", greys(3, step=100), codec="gif", pix_fmt="rgb8")
    assert order(FileSource(grey)) == [0]
    assert [round(frame.image.mean() / 100) for frame in FileSource(palette)] == [0, 1, 2]


def test_pictures_that_change_size_are_scaled_to_the_first(tmp_path):
    path = tmp_path / "a.ts"
    small = encode(tmp_path / "s.ts", greys(20)).read_bytes()
    large = encode(tmp_path / "l.ts", greys(20, height=96, width=128)).read_bytes()
    path.write_bytes(small + large)
    frames = list(FileSource(path))
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert [shown(frame.image) for frame in frames] == list(range(20)) * 2


@pytest.mark.parametrize(
    ("size", "ratio", "expected"),
    [
        ((720, 576), Fraction(64, 45), (1024, 576)),  # a wide DVD
        ((720, 480), Fraction(8, 9), (640, 480)),
        ((64, 48), Fraction(2), (128, 48)),
        ((200, 112), Fraction(224, 225), (200, 112)),  # what a scaler rounded
        ((64, 48), Fraction(1000), (64, 48)),  # nonsense
    ],
)
def test_pixels_that_are_not_square_become_so(tmp_path, size, ratio, expected):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        picture = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), format="rgb24")
        container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    source = FileSource(path)
    (frame,) = source
    assert (source.width, source.height) == expected == frame.image.shape[1::-1]


@pytest.mark.parametrize("max_image_pixels", [1, 7, 100, 768, 3071])
@pytest.mark.parametrize("degrees", [0, 90])
def test_images_are_no_larger_than_asked_for(tmp_path, max_image_pixels, degrees):
    path = encode(tmp_path / "a.mp4", greys(3), rotation={"degrees": degrees})
    source = FileSource(path, max_image_pixels=max_image_pixels)
    frames = list(source)
    assert {frame.image.shape for frame in frames} == {(source.height, source.width, 3)}
    assert max_image_pixels / 4 < source.height * source.width <= max_image_pixels
    assert [shown(frame.image) for frame in frames] == [0, 1, 2]


@pytest.mark.parametrize("max_image_pixels", [None, 3072, 10**9])
def test_images_keep_their_size_where_it_is_allowed(tmp_path, max_image_pixels):
    path = encode(tmp_path / "a.mp4", [corner_image()])
    (plain,), (same,) = FileSource(path), FileSource(path, max_image_pixels=max_image_pixels)
    assert np.array_equal(plain.image, same.image)


def test_refuses_images_of_no_pixels(tmp_path):
    with pytest.raises(ValueError, match="max_image_pixels is 0; accepted: 1 or more, or None"):
        FileSource(encode(tmp_path / "a.mp4", greys(1)), max_image_pixels=0)


def test_a_small_picture_of_high_dynamic_range_is_that_of_the_large_one(tmp_path):
    colours = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    picture = av.VideoFrame.from_ndarray(coded_hdr((80.0, 20.0, 10.0), 16), format="rgb48le")
    picture = picture.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
    path = encode(tmp_path / "a.mkv", [picture], pix_fmt="yuv420p10le", colours=colours, options={"crf": "1"})
    (large,), (small,) = FileSource(path), FileSource(path, max_image_pixels=300)
    assert small.image.shape == (15, 20, 3)
    assert np.abs(small.image.astype(int) - large.image[24, 32]).max() <= 2


def test_no_decoded_picture_waits_for_the_collector_of_circles(clip):
    """PyAV ties a picture to its side data in a circle; 8192 x 8192 ones would pile up to gigabytes."""
    gc.collect()
    gc.disable()
    try:
        for _ in FileSource(clip):
            pass
        left = [one for one in gc.get_objects() if type(one) is av.VideoFrame and one.width == 64]
    finally:
        gc.enable()
    assert not left
