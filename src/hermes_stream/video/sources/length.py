"""How long a stream is, as far as its file says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from hermes_stream.video.sources.clock import PictureClock
from hermes_stream.video.sources.container import read_packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Formats whose declared duration is the time of the end, counted from 0 and not from the first picture.
_END_FORMATS = ("matroska", "flv")
_END_TAG = "DURATION"  # of a Matroska stream
_END_TIME = re.compile(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d*)?)")
_MAX_MEASURED_BYTES = 64 * 2**20


def native_fps(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the average rate, ``None`` if unknown."""
    # A raw stream has no times to average over: FFmpeg then reports 25, whatever the codec's headers say.
    is_timed = container.duration is not None
    rate = (stream.average_rate if is_timed else stream.guessed_rate) or stream.guessed_rate
    return float(rate) if rate else None


def declared_seconds(container: InputContainer, stream: VideoStream, *, start_seconds: float) -> float | None:
    """Return the length that a file declares, in seconds; ``None`` if it declares none."""
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif (end := _tagged_end_seconds(stream)) is not None:
        seconds = end - start_seconds
    elif container.duration is not None:
        seconds = container.duration / av.time_base
        if container.format.name.startswith(_END_FORMATS):
            seconds -= start_seconds
    else:
        return None
    return seconds if seconds > 0 else None


def declares_own_length(stream: VideoStream) -> bool:
    """Tell whether the length is that of the pictures, and not perhaps that of their sound."""
    is_alone = len(stream.container.streams) == 1
    return stream.duration is not None or _tagged_end_seconds(stream) is not None or is_alone


def _tagged_end_seconds(stream: VideoStream) -> float | None:
    match = _END_TIME.fullmatch(stream.metadata.get(_END_TAG, ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def measured_seconds(
    container: InputContainer, stream: VideoStream, *, declared_seconds: float | None
) -> float | None:
    """Return the length of a broadcast recording by adding up its packets' times, without decoding them.

    FFmpeg takes it from the first and the last time, which says nothing where the clock starts again between.

    Args:
        container: an open container, at its start.
        stream: the pictures in it.
        declared_seconds: what is believed where reading everything would take long, and the clock goes on.

    Returns:
        The length in seconds, ``None`` if it cannot be known without reading a long file.
    """
    clock = PictureClock(stream, known_end_seconds=None)
    first_seconds: float | None = None
    num_bytes = 0
    try:
        for packet in read_packets(container, [stream]):
            num_bytes += packet.size
            if num_bytes > _MAX_MEASURED_BYTES:
                return None if clock.num_jumps else declared_seconds
            clock.stamp(_DecodeTimes(pts=packet.dts, dts=packet.dts, duration=packet.duration))
            first_seconds = clock.last_seconds if first_seconds is None else first_seconds
    except av.error.FFmpegError:
        pass  # what was read is what there is
    return None if first_seconds is None else clock.end_seconds - first_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _DecodeTimes:
    """A packet's times in the order of decoding, in which they increase."""

    pts: int | None
    dts: int | None
    duration: int | None
