"""Reading one connection after another of a live source, as one stream of frames and events."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, final

import av
from av.packet import Packet

from hermes_stream.errors import VideoError
from hermes_stream.video.frame import Frame
from hermes_stream.video.sources.connecting import Connection
from hermes_stream.video.sources.container import read_packets
from hermes_stream.video.sources.lifeline import Lifeline
from hermes_stream.video.sources.live_clock import LiveClock
from hermes_stream.video.sources.live_decoding import LiveDecoder
from hermes_stream.video.sources.options import SourceOptions
from hermes_stream.video.sources.pixels import RgbConverter
from hermes_stream.video.sources.sampler import LiveSampler
from hermes_stream.video.sources.source import SourceEvent, SourceEventKind, SourceState, Tally

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_logger = logging.getLogger(__name__)
_GAP_SECONDS = 2.0
_GAP_INTERVALS = 4.0
_SMOOTHING = 0.1
_LOOK_SECONDS = 1.0
_MAX_DECLARED_FPS = 1000


@final
class LiveReading:
    """What stays while a source is opened again and again: its clock, what is due, what its pictures are.

    Args:
        options: how it is read.
        tally: keeps its stats.
        stopped: set when it is to stop.
    """

    def __init__(self, options: SourceOptions, tally: Tally, stopped: threading.Event) -> None:
        self._options, self._tally, self._stopped = options, tally, stopped
        self._schedule = options.watched
        self._framing = options.framing
        self._clock = LiveClock(options.goes_on)
        self._sampler = LiveSampler(options.fps)
        self._interval_seconds: float | None = None
        self._was_live = False
        self._coded: tuple[str, int, int] | None = None
        self._converter: RgbConverter | None = None

    @property
    def is_watched(self) -> bool:
        """Tell whether the schedule has the source watched now."""
        return self._schedule is None or self._schedule.is_on(time.time())

    def read(self, connection: Connection, lifeline: Lifeline) -> Iterator[Frame | SourceEvent]:
        """Yield frames and events of a connection until it ends, is cut, or the schedule ends.

        Raises:
            av.error.FFmpegError: reading broke.
            VideoError: its pictures are too large, or have no conversion to RGB.
        """
        declared_fps = _declared_fps(connection.stream)
        self._clock.restart(step_seconds=0.0 if declared_fps is None else 1 / declared_fps)
        self._converter = None
        decoder = LiveDecoder(
            connection.stream,
            clock=self._clock,
            sampler=self._sampler,
            fps=self._options.fps,
            key_frames_only=self._options.key_frames_only,
            has_clock=connection.has_clock,
        )
        pacing = _Pacing(self._stopped) if connection.is_finite else None
        look_next, is_first = 0.0, True
        for packet in _packets(connection):
            own_seconds = _seconds(packet) if connection.has_clock else None
            arrival = time.monotonic() if pacing is None else pacing.arrival(own_seconds)
            if lifeline.is_cut:
                return
            lifeline.heard()
            if arrival >= look_next:
                look_next = arrival + _LOOK_SECONDS
                if not self.is_watched:
                    return
            before = self._clock.newest_seconds
            num_damaged = decoder.num_damaged
            pictures = list(decoder.pictures(packet, own_seconds=own_seconds, arrival=arrival))
            for _, picture in pictures:
                self._check_size(picture)
            if self._clock.newest_seconds != before:
                self._note(decoder, num_damaged)
                yield from self._arrived(before, connection.stream, is_first=is_first)
                is_first = False
            for seconds, picture in pictures:
                yield from self._changed(picture, connection.stream)
                self._tally.count(num_frames=1)
                yield Frame(pts_seconds=seconds, image=self._image(picture, connection.stream))

    def _note(self, decoder: LiveDecoder, num_damaged: int) -> None:
        self._tally.picture_came(
            self._clock.newest_seconds or 0.0,
            num_new_damaged=decoder.num_damaged - num_damaged,
            drift_seconds=self._clock.drift_seconds,
            key_frames_only=decoder.key_frames_only,
        )

    def _arrived(self, before: float | None, stream: VideoStream, *, is_first: bool) -> Iterator[SourceEvent]:
        """Tell that the source gives pictures, again, and what was missed."""
        newest = self._clock.newest_seconds or 0.0
        if is_first:
            is_again, self._was_live = self._was_live, True
            self._tally.set(
                state=SourceState.LIVE,
                reason="",
                num_failed_tries=0,
                zero_wall_seconds=self._clock.zero_wall_seconds,
                declared_fps=_declared_fps(stream),
            )
            self._tally.count(num_reconnections=int(is_again))
            kind = SourceEventKind.RECONNECTED if is_again else SourceEventKind.OPENED
            _logger.info("%s: %s", self._tally.stats.address, kind)
            yield self._tally.event(kind, _described(stream), pts_seconds=newest)
        if before is None:
            return
        step = newest - before
        declared = self._tally.stats.declared_fps
        usual = max(self._interval_seconds or step, 0.0 if declared is None else 1 / declared)
        if is_first or step > max(_GAP_SECONDS, _GAP_INTERVALS * usual):
            self._tally.count(num_gaps=1, gap_seconds=step)
            reason = f"no picture came for {step:.1f} s"
            yield self._tally.event(SourceEventKind.GAP, reason, pts_seconds=before, gap_seconds=step)
        elif step > 0:
            last = self._interval_seconds
            self._interval_seconds = step if last is None else last + _SMOOTHING * (step - last)

    def _changed(self, picture: VideoFrame, stream: VideoStream) -> Iterator[SourceEvent]:
        """Tell that pictures have another codec or size than before."""
        codec = stream.codec_context.codec.canonical_name
        coded = codec, picture.width, picture.height
        if coded == self._coded:
            return
        is_other, self._coded, self._converter = self._coded is not None, coded, None
        self._tally.set(codec=codec, width=picture.width, height=picture.height)
        if is_other:
            reason = f"{codec}, {picture.width} x {picture.height} now"
            seconds = self._clock.newest_seconds or 0.0
            yield self._tally.event(SourceEventKind.FORMAT_CHANGED, reason, pts_seconds=seconds)

    def _check_size(self, picture: VideoFrame) -> None:
        if picture.width * picture.height > self._options.max_pixels:
            raise VideoError(
                f"its pictures have {picture.width} x {picture.height} pixels, at most "
                f"{self._options.max_pixels} are decoded"
            )

    def _image(self, picture: VideoFrame, stream: VideoStream) -> Any:
        if self._converter is None:
            self._converter = RgbConverter(
                pixel_aspect_ratio=stream.sample_aspect_ratio,
                max_image_pixels=self._framing.pixels_before(self._options.max_image_pixels),
                max_pixels=self._options.max_pixels,
            )
        try:
            return self._framing.apply(self._converter.convert(picture))
        except av.error.FFmpegError:
            raise VideoError(
                f"its pictures in {picture.format.name} have no conversion to RGB; let it send H.264"
            ) from None


@final
class _Pacing:
    """Holds the packets of a recording back until it is their time."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._shift_seconds: float | None = None
        self._due = time.monotonic()

    def arrival(self, own_seconds: float | None) -> float:
        """Wait until a packet is due, and return when that is."""
        if own_seconds is not None:
            if self._shift_seconds is None:
                self._shift_seconds = time.monotonic() - own_seconds
            self._due = max(self._due, own_seconds + self._shift_seconds)
        self._stopped.wait(max(0.0, self._due - time.monotonic()))
        return time.monotonic()


def _packets(connection: Connection) -> Iterator[Packet[Any]]:
    yield from read_packets(connection.container, [connection.stream])
    if connection.is_finite:
        yield Packet()  # whose lack of content has the decoder give what it holds


def _seconds(packet: Packet[Any]) -> float | None:
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None or packet.time_base is None else float(ticks * packet.time_base)


def _declared_fps(stream: VideoStream) -> float | None:
    # The last is twice the truth in MPEG-TS, which counts fields.
    rate = stream.average_rate or stream.codec_context.framerate or stream.guessed_rate
    return float(rate) if rate and 0 < rate <= _MAX_DECLARED_FPS else None


def _described(stream: VideoStream) -> str:
    coder = stream.codec_context
    return f"{coder.codec.canonical_name}, {coder.width} x {coder.height}"
