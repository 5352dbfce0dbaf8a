"""Still pictures as files in memory: JPEG, as cameras send them, and PNG."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from hermes_stream.errors import VideoError
from hermes_stream.video.jpeg import decode_jpeg, decode_packet

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">II")
_SIZE_OFFSET = 16


def decode_picture(encoded: bytes, *, max_pixels: int = 8192 * 8192) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG or PNG file, RGB, uint8 ``[height, width, 3]``.

    Args:
        encoded: the file.
        max_pixels: the most pixels that it may have, against files made to exhaust memory.

    Raises:
        VideoError: it is neither, damaged, or too large.
    """
    if not encoded.startswith(_PNG):
        return decode_jpeg(encoded, max_pixels=max_pixels)
    if len(encoded) < _SIZE_OFFSET + _PNG_SIZE.size:
        raise VideoError(f"a PNG of {len(encoded)} bytes ends within its header; send it again")
    width, height = _PNG_SIZE.unpack_from(encoded, _SIZE_OFFSET)
    if width * height > max_pixels:
        raise VideoError(
            f"a PNG of {width} x {height} has more than {max_pixels} pixels; send a smaller picture"
        )
    return decode_packet(encoded, "png", kind="PNG", max_pixels=max_pixels)
