"""Pictures that clients push: checked, decoded off the event loop, given to their stream."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hermes_stream.errors import VideoError
from hermes_stream.server.bodies import FramesReceipt
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.state import ServerState
from hermes_stream.service import PushReceipt
from hermes_stream.video.frame import Frame
from hermes_stream.video.picture import decode_picture

_PTS = struct.Struct(">Q")
_MICROSECONDS = 1_000_000
MAX_PTS_US = 2**53
"""Beyond, seconds as floating point would no longer tell microseconds apart; it is 285 years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedPicture:
    """A picture as it came.

    Attributes:
        pts_us: when it was taken, in microseconds of the stream; None is when it came.
        encoded: a JPEG or PNG file.
    """

    pts_us: int | None
    encoded: bytes


def read_message(message: bytes) -> PushedPicture:
    """Read a binary message: 8 bytes of time, unsigned, most significant first; then the picture.

    Raises:
        RefusedError: it is too short, or its time is out of range.
    """
    if len(message) <= _PTS.size:
        raise RefusedError(
            400,
            f"a message of {len(message)} bytes holds no picture; send 8 bytes of time in microseconds "
            "(unsigned, most significant byte first), then a JPEG",
            code="invalid_message",
        )
    return PushedPicture(pts_us=checked_pts(_PTS.unpack_from(message)[0]), encoded=message[_PTS.size :])


def write_message(pts_seconds: float, encoded: bytes) -> bytes:
    """Return a binary message of a picture, as ``read_message`` reads it."""
    return _PTS.pack(max(0, round(pts_seconds * _MICROSECONDS))) + encoded


def checked_pts(pts_us: int) -> int:
    """Return a time that a stream can have.

    Raises:
        RefusedError: it is out of range.
    """
    if not 0 <= pts_us <= MAX_PTS_US:
        raise RefusedError(
            400,
            f"the time of a picture is {pts_us} microseconds; accepted: 0 to {MAX_PTS_US}",
            code="invalid_pts",
            param="pts_us",
            accepted={"minimum": 0, "maximum": MAX_PTS_US},
        )
    return pts_us


def push(state: ServerState, stream: str, pictures: list[PushedPicture]) -> FramesReceipt:
    """Decode pictures and give them to their stream. Takes time: not for the event loop's thread.

    Args:
        state: of the server.
        stream: its name.
        pictures: in the order of their times.

    Raises:
        RefusedError: one is no picture, damaged, or too large.
        UnknownStreamError: there is no such stream.
        ValueError: one is not later than the one before it.
    """
    status = state.service.stream(stream)  # first: pictures for nobody are not decoded
    zero, newest = status.zero_wall_seconds, status.newest_pts_seconds

    def came_us() -> int:
        return round(state.arrivals.seconds(stream, zero=zero, newest=newest) * _MICROSECONDS)

    frames = [
        Frame(
            pts_seconds=checked_pts(came_us() if one.pts_us is None else one.pts_us) / _MICROSECONDS,
            image=_decoded(one.encoded, state),
        )
        for one in pictures
    ]
    return receipt_body(state.service.push_frames(stream, frames))


def _decoded(encoded: bytes, state: ServerState) -> NDArray[np.uint8]:
    settings = state.settings
    if len(encoded) > settings.max_frame_bytes:
        raise RefusedError(
            413,
            f"a picture has {len(encoded):,} bytes; at most {settings.max_frame_bytes:,} are taken",
            code="too_large",
            accepted={"max_frame_bytes": settings.max_frame_bytes},
        )
    try:
        return decode_picture(encoded, max_pixels=settings.max_picture_pixels)
    except VideoError as error:  # here it is the client's picture, not the stream's state
        raise RefusedError(400, str(error), code="invalid_picture") from error


def receipt_body(receipt: PushReceipt) -> FramesReceipt:
    """Return what became of frames, times in microseconds too."""
    newest = receipt.newest_pts_seconds
    return FramesReceipt(
        newest_pts_seconds=newest,
        newest_pts_us=None if newest is None else round(newest * _MICROSECONDS),
        num_accepted=receipt.num_accepted,
        num_skipped=receipt.num_skipped,
        num_dropped=receipt.num_dropped,
    )
