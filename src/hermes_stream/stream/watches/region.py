"""A part of the picture that a watch looks at: a polygon, cut out, with grey around it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from hermes_stream.video.frame import Frame

Point = tuple[float, float]
MIN_POINTS, MAX_POINTS = 3, 32
GREY = 128


def checked_region(region: Sequence[Sequence[float]]) -> tuple[Point, ...]:
    """Return a region's corners.

    Args:
        region: points (x, y) in shares of the picture's sides, from the top left; y grows downwards.

    Raises:
        ValueError: they are not 3 to 32 points in the picture, or enclose nothing.
    """
    told = f"region must be {MIN_POINTS} to {MAX_POINTS} points [x, y] from 0 to 1"
    if isinstance(region, str) or not MIN_POINTS <= len(region) <= MAX_POINTS:
        raise ValueError(f"{told}, got {region!r}")
    corners = []
    for point in region:
        if isinstance(point, str) or len(point) != 2 or not all(map(_is_share, point)):
            raise ValueError(f"{told}, got the point {point!r}")
        corners.append((float(point[0]), float(point[1])))
    turned = [*corners[1:], corners[0]]
    area = abs(sum(x * v - u * y for (x, y), (u, v) in zip(corners, turned, strict=True))) / 2
    if area == 0:
        raise ValueError(f"{told} that enclose a part of the picture, got {region!r}")
    return tuple(corners)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def cut_out(frame: Frame, region: Sequence[Point]) -> Frame:
    """Return the part of a frame that a region encloses: its box, grey where the region is not.

    Args:
        frame: the whole picture.
        region: corners, as ``checked_region`` returns them.
    """
    height, width = frame.image.shape[:2]
    rows, columns = (
        _span([point[axis] for point in region], side) for axis, side in ((1, height), (0, width))
    )
    image: UInt8[np.ndarray, "height width 3"] = frame.image[rows, columns].copy()
    inside = _inside(region, height, width)[rows, columns]
    image[~inside] = GREY
    return Frame(pts_seconds=frame.pts_seconds, image=image, duration_seconds=frame.duration_seconds)


def _span(shares: Sequence[float], side: int) -> slice:
    """Return the pixels from the least share of a side to the greatest, at least one."""
    start = min(int(min(shares) * side), side - 1)
    return slice(start, max(math.ceil(max(shares) * side), start + 1))


def _inside(region: Sequence[Point], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """Tell for each pixel's middle whether it lies inside, by how often a line to the right leaves."""
    x = (np.arange(width) + 0.5)[None, :] / width
    y = (np.arange(height) + 0.5)[:, None] / height
    inside = np.zeros((height, width), dtype=bool)
    for (x1, y1), (x2, y2) in zip(region, [*region[1:], region[0]], strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < x1 + (x2 - x1) * (y - y1) / (y2 - y1))
    return inside
