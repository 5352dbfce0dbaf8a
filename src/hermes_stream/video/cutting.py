"""A part of a video as a file of its own: copied packet by packet, or of frames, in VP9."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from hermes_stream.errors import VideoError
from hermes_stream.video.paths import readable
from hermes_stream.video.sources.container import choose_video_stream, open_container, read_packets
from hermes_stream.video.sources.file import FileSource
from hermes_stream.video.writing import write_video

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

COPIED_CODECS = ("h264", "hevc", "av1", "vp9", "mpeg4")
"""What MP4 holds and players of MP4 take."""
_MAX_PIXELS = 8192 * 8192
_CRF = 32
# Key frames come seldom, and a file without an index is entered anywhere.
_EARLIER_SECONDS = (0, 10, 60, 10**6)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPart:
    """What was copied.

    Attributes:
        from_seconds: where it begins, a key frame at or before what was asked for; from the first picture.
        until_seconds: where it ends.
    """

    from_seconds: float
    until_seconds: float


def can_copy(path: Path) -> bool:
    """Tell whether parts of a file can be copied as they are: MP4 takes the codec, and it is upright.

    Raises:
        VideoError: the file cannot be read.
    """
    source = FileSource(path)
    if source.codec not in COPIED_CODECS:
        return False
    with open_container(path, max_pixels=_MAX_PIXELS) as container:
        coder = _video_stream(container, path).codec_context
        return (coder.width, coder.height) == (source.width, source.height)


def copy_part(
    path: Path, target: Path, *, from_seconds: float, until_seconds: float, max_bytes: int
) -> CutPart:
    """Copy the pictures of a stretch to an MP4 file, without sound.

    Args:
        path: a local video file; see ``can_copy``.
        target: the file to write.
        from_seconds: from the first picture on; it begins at the key frame before.
        until_seconds: behind this.
        max_bytes: of the packets, at most.

    Raises:
        VideoError: the file cannot be read or written, has no picture there, or the part is too large.
    """
    start = FileSource(path).start_seconds
    try:
        with (
            open_container(path, max_pixels=_MAX_PIXELS) as container,
            av.open(f"file:{target.absolute()}", "w", format="mp4") as out,
        ):
            stream = _video_stream(container, path)
            base = stream.time_base or Fraction(1, av.time_base)
            packets = _packets_from(container, stream, round((start + from_seconds) / base))
            until = int((start + until_seconds) / base)
            copied = out.add_stream_from_template(stream)
            if stream.codec_context.codec.canonical_name == "hevc":
                # as FFmpeg's manual advises for players on Apple's systems
                copied.codec_context.codec_tag = "hvc1"
            part = _copy(packets, copied, out, until=until, max_bytes=max_bytes)
    except (FFmpegError, ValueError) as error:
        raise VideoError(f"no part of {readable(path)} can be copied: {error}") from error
    if part is None or float(part[1] * base) - start <= from_seconds:  # the end of a file may be before it
        raise VideoError(f"{readable(path)} has no picture from {from_seconds:g} s on; give an earlier time")
    first, last = part
    return CutPart(from_seconds=float(first * base) - start, until_seconds=float(last * base) - start)


def write_frames(target: Path, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> None:
    """Write frames as VP9 in MP4, whose encoder is under a BSD licence; see ``write_video``.

    Args:
        target: the file to write, ending in ``.mp4``.
        frames: uint8 RGB ``[height, width, 3]``, all of one size.
        fps: frames per second.

    Raises:
        VideoError: it cannot be written.
    """
    write_video(target, frames, fps=fps, crf=_CRF, encoder="libvpx-vp9")


def _packets_from(container: InputContainer, stream: VideoStream, ticks: int) -> Iterator[Any]:
    """Return packets from the last key frame before a time on, from the first where none is before it."""
    keys: list[int] = []
    for earlier_seconds in _EARLIER_SECONDS:
        place = ticks - int(earlier_seconds / (stream.time_base or Fraction(1, av.time_base)))
        container.seek(place, stream=stream, backward=True)
        before = takewhile(lambda one: one.dts <= ticks, _in_order(read_packets(container, [stream])))
        keys = [one.pts for one in before if one.is_keyframe and one.pts <= ticks]
        if keys:
            break
    container.seek(place, stream=stream, backward=True)
    packets = _in_order(read_packets(container, [stream]))
    return dropwhile(lambda one: not one.is_keyframe or one.pts < max(keys, default=one.pts), packets)


def _in_order(packets: Iterator[Any]) -> Iterator[Any]:
    """Yield packets that have their times; Matroska leaves out when those behind a leap are decoded."""
    waiting: list[Any] = []
    for packet in chain(packets, [None]):
        if packet is not None and packet.pts is not None:
            waiting.append(packet)
        if packet is None or packet.dts is not None:
            for number, one in enumerate(reversed(waiting)):
                dts = min(one.pts for one in waiting) if waiting[-1].dts is None else waiting[-1].dts
                one.dts = dts - number * max(1, waiting[-1].duration or 0)
            yield from waiting
            waiting.clear()


def _copy(
    packets: Iterator[Any], copied: VideoStream, out: OutputContainer, *, until: int, max_bytes: int
) -> tuple[int, int] | None:
    """Copy packets up to a time; return when they begin and end, in their unit."""
    first: Any = None
    begin = end = num_bytes = shift = 0
    for packet in packets:
        if packet.dts > until:
            break
        if first is None:
            first, begin, shift = packet, packet.pts, packet.dts
        num_bytes += packet.size
        if num_bytes > max_bytes:
            raise VideoError(f"that part of the video has more than {max_bytes} bytes; ask for a shorter one")
        end = max(end, packet.pts + (packet.duration or 0))
        packet.dts, packet.pts = packet.dts - shift, packet.pts - shift
        packet.stream = copied
        out.mux(packet)
    return None if first is None else (begin, end)


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    return choose_video_stream(container, path, video_stream=None, max_pixels=_MAX_PIXELS)
