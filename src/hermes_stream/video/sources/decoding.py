"""From packets to timed pictures, with an account of what was damaged."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import av

from hermes_stream.video.sampling import MAX_FILLED_SECONDS
from hermes_stream.video.sources.clock import PictureClock
from hermes_stream.video.sources.container import read_packets
from hermes_stream.video.sources.still import StillAssembly

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One decoded picture, not yet converted.

    Attributes:
        pts_seconds: presentation time, in seconds.
        duration_seconds: how long it stays on screen, 0 when unknown.
        decoded: the picture as the decoder left it.
    """

    pts_seconds: float
    duration_seconds: float
    decoded: VideoFrame


@final
class PictureDecoder:
    """Decodes one stream from where its container stands to the end, past whatever is damaged.

    Args:
        container: an open container.
        streams: the stream; several where one still picture is made of them.
        assembly: makes one picture of what the streams hold, ``None`` to leave it as it is.
        known_end_seconds: where the stream says that it ends, ``None`` if it does not.

    Attributes:
        num_pictures: pictures yielded so far.
        damage: what broke so far, ``None`` while nothing did.
    """

    def __init__(
        self,
        container: InputContainer,
        streams: Sequence[VideoStream],
        *,
        assembly: StillAssembly | None = None,
        known_end_seconds: float | None = None,
    ) -> None:
        self.num_pictures = 0
        self._container = container
        self._streams = streams
        self._assembly = assembly
        self._clock = PictureClock(streams[0], known_end_seconds=known_end_seconds)
        self._known_end_seconds = known_end_seconds
        self._num_lost_packets = 0
        self._num_corrupt_pictures = 0
        self._first_loss: str | None = None
        self._ending: str | None = None

    def pictures(self) -> Generator[Picture]:
        """Yield every picture that decodes; damage never raises."""
        for stream, packet in self._packets():
            for decoded in self._decoded(stream, packet):
                stamp = self._clock.stamp(decoded)
                self._num_corrupt_pictures += decoded.is_corrupt
                if stamp is not None:
                    self.num_pictures += 1
                    yield Picture(pts_seconds=stamp[0], duration_seconds=stamp[1], decoded=decoded)
        self._check_ending()

    @property
    def damage(self) -> str | None:
        """Say what broke so far, ``None`` while nothing did."""
        parts = [self._ending] if self._ending else []
        if self._num_lost_packets:
            parts.append(f"decoding broke {self._first_loss}, {self._num_lost_packets} packet(s) lost")
        if self._num_corrupt_pictures:
            parts.append(f"{self._num_corrupt_pictures} picture(s) decoded with errors in them")
        if self._clock.num_jumps:
            parts.append(f"the clock jumped {self._clock.num_jumps} time(s), later times follow on")
        if self._clock.longest_stay_seconds > MAX_FILLED_SECONDS:
            parts.append(
                f"one picture stays for {self._clock.longest_stay_seconds:.0f} s, of which sampling fills "
                f"{MAX_FILLED_SECONDS:.0f} s"
            )
        return "; ".join(parts) or None

    def _packets(self) -> Iterator[tuple[VideoStream, Packet[Any] | None]]:
        by_index = {stream.index: stream for stream in self._streams}
        try:
            for packet in read_packets(self._container, self._streams):
                yield by_index[packet.stream_index], packet
        except av.error.FFmpegError as error:
            self._ending = f"reading broke {self._where()}: {error.strerror}"
        for stream in self._streams:
            yield stream, None  # drains the decoder

    def _decoded(self, stream: VideoStream, packet: Packet[Any] | None) -> list[VideoFrame]:
        try:
            decoded = stream.codec_context.decode(packet)
            if self._assembly is None:
                return decoded
            assembled = (self._assembly.add(stream.id, item) for item in decoded)
            return [picture for picture in assembled if picture is not None]
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._num_lost_packets += 1
            self._first_loss = self._first_loss or f"{self._where()}: {error.strerror}"
            return []

    def _check_ending(self) -> None:
        if self._ending or self._known_end_seconds is None or self._clock.last_seconds is None:
            return
        end_seconds = self._clock.end_seconds
        allowance_seconds = 0.25 + 2 * (end_seconds - self._clock.last_seconds)
        if self._known_end_seconds - end_seconds > allowance_seconds:
            self._ending = (
                f"the pictures end at {end_seconds:.1f} s, {self._known_end_seconds:.1f} s were declared"
            )

    def _where(self) -> str:
        last_seconds = self._clock.last_seconds
        return "before the first picture" if last_seconds is None else f"at {last_seconds:.1f} s"
