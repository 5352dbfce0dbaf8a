"""The encoded pictures of a file, sent as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.bitstream import BitStreamFilterContext

from hermes_stream.errors import VideoError
from hermes_stream.video.rtsp.packets import CLOCK_RATE, Burst, Codec, Packetizer

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_CODEC_NAMES: dict[str, Codec] = {"h264": "h264", "hevc": "h265", "mjpeg": "mjpeg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePackets:
    """The encoded pictures of a local file, as they are, without decoding.

    Attributes:
        path: the file.
        codec: its codec.
        fps: its average rate.
    """

    path: str
    codec: Codec
    fps: float

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FilePackets:
        """Look at a file.

        Raises:
            VideoError: it cannot be opened, or its codec is none that is sent.
        """
        name = os.fspath(path)
        try:
            with av.open(f"file:{os.path.abspath(name)}") as container:  # noqa: PTH100 - a name, not a file
                stream = container.streams.video[0]
                codec, fps = stream.codec_context.codec.canonical_name, float(stream.guessed_rate or 25)
        except (av.error.FFmpegError, IndexError) as error:
            raise VideoError(f"{name} cannot be played: {error}; give a video file") from error
        if codec not in _CODEC_NAMES:
            raise VideoError(f"{name} holds {codec}; accepted: {', '.join(_CODEC_NAMES)}, convert it")
        return cls(path=name, codec=_CODEC_NAMES[codec], fps=fps)

    def bursts(self, packetizer: Packetizer, *, start_ticks: int) -> Iterator[tuple[int, Burst]]:
        """Yield when each is sent, in ticks, and its packets, in the order of decoding.

        Args:
            packetizer: cuts them.
            start_ticks: time of the first.
        """
        with av.open(f"file:{os.path.abspath(self.path)}") as container:  # noqa: PTH100
            stream = container.streams.video[0]
            first: Fraction | None = None
            for packet in self._with_parameters(container.demux(stream), stream):
                if packet.pts is None or packet.dts is None:
                    continue
                to_ticks = packet.time_base * CLOCK_RATE
                first = packet.dts * to_ticks if first is None else first
                packet.pts = start_ticks + round(packet.pts * to_ticks - first)
                packet.dts = start_ticks + round(packet.dts * to_ticks - first)
                yield packet.dts, packetizer.take(packet, stream)

    def _with_parameters(self, packets: Iterator[Any], stream: VideoStream) -> Iterator[Any]:
        """Yield packets that can be decoded without the file's header."""
        name = {"h264": "h264_mp4toannexb", "h265": "hevc_mp4toannexb", "mjpeg": None}[self.codec]
        filtering = None if name is None else BitStreamFilterContext(name, stream)
        with closing(packets):  # type: ignore[type-var]
            for packet in packets:
                if packet.size:
                    yield from [packet] if filtering is None else filtering.filter(packet)
