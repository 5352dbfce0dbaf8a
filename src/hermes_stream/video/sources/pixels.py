"""From a decoded picture to upright RGB."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, final

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from hermes_stream.video.sources.display_matrix import display_matrix
from hermes_stream.video.sources.tone_mapping import HLG_TRC, PQ_TRC, tone_map

_MAX_ASPECT_RATIO = 16  # of a pixel; anamorphic film has 2, damage has anything
# Scalers that keep the shape of a picture note in the pixels' shape by how little they rounded its size.
_ROUNDED_ASPECT_RATIO = Fraction(2, 100)


@final
class RgbConverter:
    """Converts the pictures of one pass through a stream, all to the size of the first.

    Colours follow the matrix and range that the picture names; one that names none is read as FFmpeg does
    (BT.601, limited range). Transparency is ignored.

    Args:
        pixel_aspect_ratio: width of a pixel over its height, ``None`` for square ones. Wide and narrow ones
            are made square by scaling the width, as players do.
        max_image_pixels: the most pixels of an image; larger pictures are shrunk, in the conversion itself.
        max_pixels: the most that making pixels square may lead to.
    """

    def __init__(
        self,
        *,
        pixel_aspect_ratio: Fraction | None = None,
        max_image_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self._pixel_aspect_ratio = _believable(pixel_aspect_ratio)
        self._max_image_pixels = max_image_pixels
        self._max_pixels = max_pixels
        self._reformatter = VideoReformatter()
        self._thumbnails = VideoReformatter()
        self._size: tuple[int, int] | None = None

    def size_of(self, picture: VideoFrame) -> tuple[int, int]:
        """Return width and height of the image that a picture becomes, in pixels."""
        if self._size is None:
            width, height = picture.width, picture.height
            square_width = max(1, round(width * self._pixel_aspect_ratio))
            if self._max_pixels is None or square_width * height <= self._max_pixels:
                width = square_width
            if self._max_image_pixels is not None:
                width, height = _shrunk(width, height, max_pixels=self._max_image_pixels)
            self._size = _turned((width, height), display_matrix(picture, self._thumbnails))
        return self._size

    def convert(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """Return the picture as uint8 RGB ``[height, width, 3]``, rotated the way it is to be shown."""
        # of each picture: a mirrored one has the angle of one that is not
        matrix = display_matrix(picture, self._thumbnails)
        coded_size = _turned(self.size_of(picture), matrix)
        if picture.color_trc in (PQ_TRC, HLG_TRC):
            deep = self._reformatted(picture, coded_size, "rgb48le")
            image = tone_map(deep, transfer=picture.color_trc, primaries=picture.color_primaries)
        else:
            image = self._reformatted(picture, coded_size, "rgb24")
        # A copy where PyAV returned a view of FFmpeg's own padded buffer.
        return np.require(upright(image, matrix), requirements=["C", "O"])

    def _reformatted(self, picture: VideoFrame, size: tuple[int, int], pixel_format: str) -> NDArray[Any]:
        return self._reformatter.reformat(picture, *size, pixel_format).to_ndarray()


def upright(image: NDArray[np.uint8], matrix: tuple[int, int, int, int] | None) -> NDArray[np.uint8]:
    """Return a view of ``image`` rotated and mirrored by a display matrix, rounded to a quarter."""
    if matrix is None:
        return image
    a, b, c, d = matrix
    if _is_quarter(matrix):
        image, flips_x, flips_y = image.swapaxes(0, 1), c < 0, b < 0
    else:
        flips_x, flips_y = a < 0, d < 0
    return image[:: -1 if flips_y else 1, :: -1 if flips_x else 1]


def shrunk(image: NDArray[np.uint8], *, max_pixels: int | None) -> NDArray[np.uint8]:
    """Return an RGB image with at most so many pixels, the same one where it has no more."""
    height, width = image.shape[:2]
    if max_pixels is None or height * width <= max_pixels:
        return image
    size = _shrunk(width, height, max_pixels=max_pixels)
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return VideoReformatter().reformat(picture, *size, "rgb24").to_ndarray().astype(np.uint8, copy=False)


def _is_quarter(matrix: tuple[int, int, int, int] | None) -> bool:
    return matrix is not None and abs(matrix[1]) > abs(matrix[0])


def _turned(size: tuple[int, int], matrix: tuple[int, int, int, int] | None) -> tuple[int, int]:
    return (size[1], size[0]) if _is_quarter(matrix) else size


def _believable(ratio: Fraction | None) -> Fraction:
    is_believable = ratio is not None and Fraction(1, _MAX_ASPECT_RATIO) <= ratio <= _MAX_ASPECT_RATIO
    if ratio is None or not is_believable or abs(ratio - 1) < _ROUNDED_ASPECT_RATIO:
        return Fraction(1)
    return ratio


def _shrunk(width: int, height: int, *, max_pixels: int) -> tuple[int, int]:
    """Return the largest size of the same shape, as whole pixels go, with at most so many pixels."""
    scale = math.sqrt(max_pixels / (width * height))
    if scale >= 1:
        return width, height
    shrunk_height = min(max(1, math.floor(height * scale)), max_pixels)
    shrunk_width = max(1, math.floor(width * scale))
    return min(shrunk_width, max_pixels // shrunk_height), shrunk_height
