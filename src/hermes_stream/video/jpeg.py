"""Pictures as JPEG, in memory."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from hermes_stream.errors import VideoError
from hermes_stream.video.sources.pixels import RgbConverter

_MAX_SIDE = 16_384
_BEST_SCALE, _WORST_SCALE = 2, 31


def encode_jpeg(image: NDArray[np.uint8], *, quality: int = 85, max_pixels: int | None = None) -> bytes:
    """Return a picture as a JPEG file.

    Args:
        image: RGB pixels, uint8 ``[height, width, 3]``, at most 16,384 on a side.
        quality: 1 (smallest) to 100 (best).
        max_pixels: shrink a larger picture to about so many; None leaves its size.

    Raises:
        ValueError: the picture or the quality is not as described.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must be uint8 [height, width, 3], got {image.dtype} {list(image.shape)}")
    if max(image.shape) > _MAX_SIDE:
        raise ValueError(f"a JPEG has at most {_MAX_SIDE} pixels on a side, got {list(image.shape)}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be from 1 to 100, got {quality}")
    scale = round(_WORST_SCALE - (_WORST_SCALE - _BEST_SCALE) * quality / 100)
    codec = av.CodecContext.create("mjpeg", "w")
    height, width = image.shape[:2]
    if max_pixels is not None and height * width > max_pixels:
        factor = (max_pixels / (height * width)) ** 0.5
        height, width = max(1, round(height * factor)), max(1, round(width * factor))
    codec.width, codec.height = width, height
    codec.pix_fmt, codec.time_base, codec.thread_count = "yuvj420p", Fraction(1), 1
    codec.qmin = codec.qmax = scale  # the quality is fixed, whatever the bytes
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame = frame.reformat(
        width,
        height,
        format="yuvj420p",
        interpolation="AREA",
        dst_colorspace="ITU601",
        dst_color_range="JPEG",
    )
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def decode_jpeg(encoded: bytes, *, max_pixels: int = 8192 * 8192) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG file, RGB, uint8 ``[height, width, 3]``.

    Args:
        encoded: the file.
        max_pixels: the most pixels that it may have, against files made to exhaust memory.

    Raises:
        VideoError: it is no JPEG, damaged, or too large.
    """
    if not encoded.startswith(b"\xff\xd8"):
        raise VideoError(f"{len(encoded)} bytes are no JPEG, which begins with FF D8; send JPEG pictures")
    return decode_packet(encoded, "mjpeg", kind="JPEG", max_pixels=max_pixels)


def decode_packet(encoded: bytes, codec_name: str, *, kind: str, max_pixels: int) -> NDArray[np.uint8]:
    """Return the upright pixels of a picture that is one packet, RGB, uint8 ``[height, width, 3]``.

    Args:
        encoded: the picture's file.
        codec_name: FFmpeg's name of the decoder.
        kind: of the file, for messages.
        max_pixels: the most pixels that it may have.

    Raises:
        VideoError: it is damaged or too large.
    """
    codec = av.CodecContext.create(codec_name, "r")
    codec.thread_count = 1
    codec.options = {"max_pixels": str(max_pixels), "err_detect": "explode"}
    try:
        frames = [*codec.decode(av.Packet(encoded)), *codec.decode(None)]
    except (FFmpegError, ValueError) as error:
        raise VideoError(
            f"a {kind} of {len(encoded)} bytes cannot be decoded ({error}); send it again"
        ) from error
    if not frames:
        raise VideoError(f"a {kind} of {len(encoded)} bytes holds no picture; send it again")
    return RgbConverter().convert(frames[0])
