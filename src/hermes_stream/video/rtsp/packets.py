"""From pictures to RTP packets: encoded by PyAV, cut by FFmpeg's own RTP muxer."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, final

import av
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

Codec = Literal["h264", "h265", "mjpeg"]
CLOCK_RATE = 90_000
"""Ticks a second of RTP's video clock."""
_TIME_BASE = Fraction(1, CLOCK_RATE)
_MAX_PACKET_BYTES = 1400
_HEADER_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a codec is encoded and told to clients.

    Attributes:
        encoder: PyAV's name of it.
        pixel_format: what it takes.
        payload_type: of its RTP packets.
        rtp_name: in a session description.
        parameters: of the payload there, empty for none.
    """

    encoder: str
    pixel_format: str
    payload_type: int
    rtp_name: str
    parameters: str = ""

    def options(self, *, key_frame_every: int) -> dict[str, str]:
        """Return the encoder's options: no picture waits for a later one."""
        if self.encoder == "mjpeg":
            return {}
        quiet = {"x265-params": f"log-level=none:keyint={key_frame_every}:pools=none:frame-threads=1"}
        options = {"preset": "ultrafast", "tune": "zerolatency", "threads": "1", "g": str(key_frame_every)}
        return options | (quiet if self.encoder == "libx265" else {"sc_threshold": "0"})


ENCODINGS: dict[Codec, Encoding] = {
    "h264": Encoding(
        encoder="libx264",
        pixel_format="yuv420p",
        payload_type=96,
        rtp_name="H264",
        parameters="packetization-mode=1",
    ),
    "h265": Encoding(encoder="libx265", pixel_format="yuv420p", payload_type=96, rtp_name="H265"),
    "mjpeg": Encoding(encoder="mjpeg", pixel_format="yuvj420p", payload_type=26, rtp_name="JPEG"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """The RTP packets of one picture.

    Attributes:
        packets: as they are sent.
        is_key: tells whether a client may begin with it.
    """

    packets: tuple[bytes, ...]
    is_key: bool


@final
class Packetizer:
    """Encodes pictures, or takes encoded ones, and returns their RTP packets.

    Args:
        codec: which.
        fps: pictures per second, for the encoder's rate control.
        key_frame_every: pictures from one key frame to the next.
    """

    def __init__(self, codec: Codec, *, fps: float, key_frame_every: int) -> None:
        self.encoding = ENCODINGS[codec]
        self._rate = Fraction(fps).limit_denominator(1000)
        self._options = self.encoding.options(key_frame_every=key_frame_every)
        self._muxing: _Muxing | None = None
        self._size: tuple[int, int] | None = None
        self._ssrc = secrets.randbits(32)
        self._base_ticks = secrets.randbits(31)
        self.next_sequence = secrets.randbits(15)

    def encode(self, image: NDArray[np.uint8], ticks: int) -> Burst:
        """Return the packets of a picture; another size than before begins a new sequence of pictures.

        Args:
            image: uint8 RGB ``[height, width, 3]``; odd sizes lose their last row or column.
            ticks: its time.
        """
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        if self._muxing is None or self._size != (height, width):
            self.close()
            self._muxing, self._size = self._encoder(width, height), (height, width)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        picture = picture.reformat(format=self.encoding.pixel_format)
        picture.pts, picture.time_base = ticks, _TIME_BASE
        packets = self._muxing.stream.encode(picture)
        cut = [self._muxing.cut(packet) for packet in packets]
        is_key = any(packet.is_keyframe for packet in packets)
        return self._burst([one for many in cut for one in many], ticks, is_key=is_key)

    def take(self, packet: Any, template: VideoStream) -> Burst:
        """Return the RTP packets of an encoded picture of a file.

        Args:
            packet: of the file, parameter sets in it, times in ticks.
            template: the stream that it comes from.
        """
        if self._muxing is None:
            container = self._container()
            # Not from the template: with its header the muxer would look for lengths instead of start codes.
            name, size = template.codec_context.codec.canonical_name, template.codec_context
            stream: Any = container.add_mux_stream(name, width=size.width, height=size.height)
            self._muxing = _Muxing(container, stream, self._written)
        is_key, ticks = packet.is_keyframe, packet.pts
        packet.time_base, packet.stream = _TIME_BASE, self._muxing.stream
        return self._burst(self._muxing.cut(packet), ticks, is_key=is_key)

    def close(self) -> None:
        """Let go of the encoder."""
        if self._muxing is not None:
            self._muxing.container.close()
            self._muxing = None

    def rtp_time(self, ticks: int) -> int:
        """Return a time as RTP packets carry it."""
        return (self._base_ticks + ticks) % 2**32

    def _burst(self, packets: list[bytes], ticks: int, *, is_key: bool) -> Burst:
        return Burst(packets=tuple(self._stamped(packet, ticks) for packet in packets), is_key=is_key)

    def _stamped(self, packet: bytes, ticks: int) -> bytes:
        # Ours, so that they go on over a change of encoder.
        numbers = struct.pack(">HII", self.next_sequence, self.rtp_time(ticks), self._ssrc)
        self.next_sequence = (self.next_sequence + 1) % 2**16
        return packet[:2] + numbers + packet[_HEADER_BYTES:]

    def _encoder(self, width: int, height: int) -> _Muxing:
        container = self._container()
        stream: Any = container.add_stream(self.encoding.encoder, rate=self._rate, options=self._options)
        stream.width, stream.height, stream.pix_fmt = width, height, self.encoding.pixel_format
        stream.codec_context.time_base = _TIME_BASE
        return _Muxing(container, stream, self._written)

    def _container(self) -> OutputContainer:
        self._written = _Written()
        options = {"payload_type": str(self.encoding.payload_type), "rtpflags": "skip_rtcp"}
        return av.open(self._written, "w", format="rtp", buffer_size=_MAX_PACKET_BYTES, options=options)


@final
class _Written:
    """Takes what the muxer writes, a packet at a time."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def write(self, packet: bytes) -> int:
        self.packets.append(bytes(packet))
        return len(packet)


@dataclass(frozen=True, slots=True)
class _Muxing:
    container: OutputContainer
    stream: VideoStream
    written: _Written

    def cut(self, packet: Any) -> list[bytes]:
        self.container.mux_one(packet)
        packets, self.written.packets = self.written.packets, []
        return packets
