"""From a decoded picture to upright RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from hermes_stream.video.sources.tone_mapping import HLG_TRC, PQ_TRC, tone_map

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@final
class RgbConverter:
    """Converts the pictures of one pass through a stream, all to the size of the first.

    Colours follow the matrix and range that the picture names; one that names none is read as FFmpeg does
    (BT.601, limited range). Transparency is ignored, and so are pixels that are not square.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._coded_size: tuple[int, int] | None = None

    def convert(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """Return the picture as uint8 RGB ``[height, width, 3]``, rotated the way it is to be shown."""
        if self._coded_size is None:
            self._coded_size = picture.width, picture.height
        if picture.color_trc in (PQ_TRC, HLG_TRC):
            deep = self._reformatted(picture, "rgb48le")
            image = tone_map(deep, transfer=picture.color_trc, primaries=picture.color_primaries)
        else:
            image = self._reformatted(picture, "rgb24")
        # A copy: what PyAV returns looks into FFmpeg's own padded buffer.
        return np.array(upright(image, picture), order="C")

    def _reformatted(self, picture: VideoFrame, pixel_format: str) -> NDArray[Any]:
        width, height = self._coded_size or (None, None)
        return self._reformatter.reformat(picture, width, height, pixel_format).to_ndarray()


def upright(image: NDArray[np.uint8], picture: VideoFrame) -> NDArray[np.uint8]:
    """Return a view of ``image`` rotated and mirrored by the display matrix of ``picture``.

    The matrix sends ``(x, y)`` to ``(a x + c y, b x + d y)`` with y pointing down; the rotation is
    rounded to a quarter.
    """
    matrix: Any = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(b) > abs(a):
        image, flips_x, flips_y = image.swapaxes(0, 1), c < 0, b < 0
    else:
        flips_x, flips_y = a < 0, d < 0
    return image[:: -1 if flips_y else 1, :: -1 if flips_x else 1]
