"""What of a picture is seen: turned, parts blacked, one part cut out."""

from __future__ import annotations

import math
from typing import final

import numpy as np
from numpy.typing import NDArray

_QUARTERS = {0: 0, 90: -1, 180: 2, 270: 1}
_MAX_POLYGONS = 100
_MAX_CORNERS = 1000


@final
class Framing:
    """Turns pictures, blacks polygons in them, then cuts a part out.

    Args:
        crop: left, top, width, height of the part that is seen, shares of the turned picture; None for all.
        rotation: degrees clockwise, a multiple of 90 from 0 to 270.
        privacy_mask: polygons of (x, y), as shares of the turned picture.

    Raises:
        ValueError: an argument is not as described.
    """

    def __init__(
        self,
        *,
        crop: tuple[float, float, float, float] | None = None,
        rotation: int = 0,
        privacy_mask: tuple[tuple[tuple[float, float], ...], ...] = (),
    ) -> None:
        if rotation not in _QUARTERS:
            raise ValueError(f"rotation is {rotation!r}; accepted: 0, 90, 180 or 270 degrees clockwise")
        self._crop = None if crop is None else _checked_crop(crop)
        self._polygons = _checked_polygons(privacy_mask)
        self._quarters = _QUARTERS[rotation]
        self._masked_size: tuple[int, int] | None = None
        self._mask: NDArray[np.bool_] | None = None

    @property
    def share(self) -> float:
        """How much of a picture's area is seen, above 0 to 1."""
        return 1.0 if self._crop is None else self._crop[2] * self._crop[3]

    def pixels_before(self, max_image_pixels: int | None) -> int | None:
        """Return how many pixels a picture may have, for the part cut out of it to have at most these."""
        return None if max_image_pixels is None else max(1, math.floor(max_image_pixels / self.share))

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what is seen of an image.

        Args:
            image: uint8 ``[height, width, 3]``; blacked in place.
        """
        image = np.rot90(image, self._quarters)
        if self._polygons:
            image = np.require(image, requirements=["W"])
            image[self._mask_of(image.shape[0], image.shape[1])] = 0
        if self._crop is not None:
            rows, columns = _cut(self._crop, image.shape[0], image.shape[1])
            image = image[rows, columns]
        return np.ascontiguousarray(image)

    def _mask_of(self, height: int, width: int) -> NDArray[np.bool_]:
        if self._mask is None or self._masked_size != (height, width):
            self._mask = np.zeros((height, width), dtype=bool)
            for polygon in self._polygons:
                self._mask |= _covered(polygon, height, width)
            self._masked_size = height, width
        return self._mask


def _checked_crop(crop: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return a crop as four floats.

    Raises:
        ValueError: it is not four shares of a picture with something in between.
    """
    values = tuple(float(value) for value in crop)
    if len(values) == 4 and all(0 <= value <= 1 for value in values):
        left, top, width, height = values
        if width > 0 and height > 0 and left + width <= 1 + 1e-9 and top + height <= 1 + 1e-9:
            return left, top, width, height
    raise ValueError(
        f"crop is {crop}; accepted: left, top, width, height as shares of the picture from 0 to 1, such as "
        "(0.25, 0, 0.5, 1) for its middle half"
    )


def _checked_polygons(polygons: tuple[tuple[tuple[float, float], ...], ...]) -> list[NDArray[np.float64]]:
    """Return polygons as arrays ``[corners, 2]``.

    Raises:
        ValueError: one is no polygon, lies outside the picture, or there are too many.
    """
    if len(polygons) > _MAX_POLYGONS:
        raise ValueError(f"privacy_mask has {len(polygons)} polygons; accepted: at most {_MAX_POLYGONS}")
    checked = []
    for polygon in polygons:
        try:
            corners = np.asarray(polygon, dtype=np.float64)
        except (TypeError, ValueError):
            corners = np.empty(0)
        is_polygon = corners.ndim == 2 and corners.shape[1] == 2 and 3 <= len(corners) <= _MAX_CORNERS
        if not is_polygon or not bool(((corners >= 0) & (corners <= 1)).all()):
            raise ValueError(
                f"privacy_mask has the polygon {polygon}; accepted: 3 to {_MAX_CORNERS} corners (x, y), "
                "each a share of the picture from 0 to 1, such as ((0, 0), (0.5, 0), (0.5, 1), (0, 1))"
            )
        checked.append(corners)
    return checked


def _covered(corners: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Return which pixels a polygon covers, also in part, as bool ``[height, width]``."""
    x, y = corners[:, 0] * width, corners[:, 1] * height
    inside = np.zeros((height, width), dtype=bool)
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    for x0, y0, x1, y1 in zip(x, y, np.roll(x, -1), np.roll(y, -1), strict=True):
        crossing = (y0 <= rows) != (y1 <= rows)
        at = x0 + (rows[crossing] - y0) * (x1 - x0) / (y1 - y0)
        inside[crossing] ^= columns[None] >= at[:, None]
    _cover_edges(inside, x, y)
    # One pixel more all around: scaling and chroma have mixed neighbours by now.
    grown = np.pad(inside, 1)
    return np.logical_or.reduce(
        [grown[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    )


def _cover_edges(inside: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Mark the pixels that a polygon's edges pass through: a sliver may cover the middle of none."""
    height, width = inside.shape
    for x0, y0, x1, y1 in zip(x, y, np.roll(x, -1), np.roll(y, -1), strict=True):
        steps = np.linspace(0, 1, 2 * math.ceil(max(abs(x1 - x0), abs(y1 - y0))) + 2)
        rows = np.clip((y0 + steps * (y1 - y0)).astype(int), 0, height - 1)
        columns = np.clip((x0 + steps * (x1 - x0)).astype(int), 0, width - 1)
        inside[rows, columns] = True


def _cut(crop: tuple[float, float, float, float], height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of a crop, at least one each."""
    left, top, share_x, share_y = crop
    first_row, first_column = min(height - 1, round(top * height)), min(width - 1, round(left * width))
    num_rows = max(1, min(height - first_row, math.floor(share_y * height + 1e-6)))
    num_columns = max(1, min(width - first_column, math.floor(share_x * width + 1e-6)))
    return slice(first_row, first_row + num_rows), slice(first_column, first_column + num_columns)
