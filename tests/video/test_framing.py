"""What of a picture is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_stream.video.sources.framing import Framing

IMAGE = np.random.default_rng(0).integers(1, 256, (40, 60, 3), dtype=np.uint8)


def test_nothing_asked_nothing_changed():
    assert np.array_equal(Framing().apply(IMAGE), IMAGE)


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_rotation_is_clockwise(rotation, corner):
    turned = Framing(rotation=rotation).apply(IMAGE)
    assert np.array_equal(turned[0, 0], IMAGE[corner])
    assert turned.shape == ((40, 60, 3) if rotation == 180 else (60, 40, 3))
    assert turned.flags.c_contiguous


def test_crop():
    assert np.array_equal(Framing(crop=(0.5, 0.25, 0.5, 0.5)).apply(IMAGE), IMAGE[10:30, 30:])
    assert Framing(crop=(0.999, 0.999, 0.001, 0.001)).apply(IMAGE).shape == (1, 1, 3)
    assert Framing(crop=(0, 0, 1, 0.25)).pixels_before(100) == 400


def test_crop_comes_after_rotation_and_mask():
    top = ((0, 0), (1, 0), (1, 0.25), (0, 0.25))
    framing = Framing(crop=(0, 0, 1, 0.5), rotation=90, privacy_mask=(top,))
    seen = framing.apply(IMAGE.copy())
    assert seen.shape == (30, 40, 3)
    assert seen[:15].max() == 0
    assert np.array_equal(seen[17:], np.rot90(IMAGE, -1)[17:30])


def test_a_polygon_blacks_what_lies_in_it_and_a_rim():
    seen = Framing(privacy_mask=(((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)),)).apply(
        IMAGE.copy()
    )
    assert seen[10:30, 15:45].max() == 0
    rim = np.ones((40, 60), bool)
    rim[8:32, 13:47] = False
    assert np.array_equal(seen[rim], IMAGE[rim])


def test_a_hole_between_polygons_stays():
    inner = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.75), (0.75, 0.25), (0.25, 0.25))
    ring = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0), *inner)
    seen = Framing(privacy_mask=(ring,)).apply(IMAGE.copy())
    assert seen[0].max() == 0
    assert seen[20, 30].min() > 0


def test_a_sliver_is_covered_too():
    seen = Framing(privacy_mask=(((0.1, 0.1), (0.9, 0.11), (0.9, 0.1)),)).apply(IMAGE.copy())
    assert seen[4, 6:54].max() == 0


@settings(max_examples=50, deadline=None)
@given(
    corners=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=8),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
)
def test_no_pixel_inside_shows(corners, height, width):
    image = np.full((height, width, 3), 255, np.uint8)
    seen = Framing(privacy_mask=(tuple(corners),)).apply(image)
    xs, ys = np.array(corners).T * [[width], [height]]
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            is_inside = False
            for k in range(len(xs)):
                x0, y0, x1, y1 = xs[k - 1], ys[k - 1], xs[k], ys[k]
                if (y0 <= y) != (y1 <= y) and x >= x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                    is_inside = not is_inside
            if is_inside:
                assert seen[row, column].max() == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"rotation": 45},
        {"crop": (0, 0, 0, 1)},
        {"crop": (0.5, 0, 0.6, 1)},
        {"crop": (0, 0, 100, 100)},
        {"crop": (0, 0, 1)},
        {"crop": (float("nan"), 0, 1, 1)},
        {"privacy_mask": (((0, 0), (1, 1)),)},
        {"privacy_mask": (((0, 0), (1, 1), (2, 0)),)},
        {"privacy_mask": (((0, 0), (1, 1), (float("nan"), 0)),)},
        {"privacy_mask": ((0, 0), (1, 1), (1, 0))},
        {"privacy_mask": (((0, 0), (1, 1), (1, 0)),) * 101},
    ],
)
def test_what_is_no_framing_is_refused(bad):
    with pytest.raises(ValueError, match="accepted"):
        Framing(**bad)
