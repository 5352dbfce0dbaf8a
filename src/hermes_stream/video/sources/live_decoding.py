"""From the packets of a live source to the pictures that are taken, decoding as few as possible."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

import av

from hermes_stream.video.sources.live_clock import LiveClock
from hermes_stream.video.sources.sampler import LiveSampler

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_NUM_INTERVALS = 3
# Some cameras never send a key frame, but refresh pictures piece by piece.
_MAX_WITHOUT_KEY_SECONDS = 3.0
_LATE_SHARE = 1.1
_ALSO_ALL_KEY = ("wrapped_avframe",)  # what some devices give; FFmpeg says it of others alone
# A picture with errors is better than none for so long.
_MAX_WITHOUT_SECONDS = 2.0


@final
class LiveDecoder:
    """Decodes one connection of a live source.

    Where key frames come at least as often as pictures are taken, only those that are due are decoded: with
    one a second a hundredth of the work. Otherwise everything is, since pictures rest on those before.

    Args:
        stream: what packets are of.
        clock: gives pictures their times.
        sampler: says which are taken.
        fps: pictures taken per second, None for all.
        key_frames_only: whether only key frames are decoded; None decides by how often they come.
        has_clock: whether the source's times mean anything.

    Attributes:
        key_frames_only: whether only key frames are decoded now.
        num_damaged: packets that did not decode, and pictures with errors.
    """

    def __init__(
        self,
        stream: VideoStream,
        *,
        clock: LiveClock,
        sampler: LiveSampler,
        fps: float | None,
        key_frames_only: bool | None,
        has_clock: bool = True,
    ) -> None:
        self._has_clock = has_clock
        self.key_frames_only = bool(key_frames_only)
        self.num_damaged = 0
        self._stream, self._clock, self._sampler = stream, clock, sampler
        self._longest_interval = None if fps is None else _LATE_SHARE / fps
        self._is_fixed = key_frames_only is not None
        self._key_times: deque[float] = deque(maxlen=_NUM_INTERVALS + 1)
        codec = stream.codec_context.codec
        self._is_all_key = codec.intra_only or codec.name in _ALSO_ALL_KEY
        self._needs_key = True
        self._needs_since: float | None = None
        self._last_taken: float | None = None

    def pictures(
        self, packet: Packet[Any], *, own_seconds: float | None, arrival: float
    ) -> Iterator[tuple[float, VideoFrame]]:
        """Yield the pictures that are taken of what a packet completes, with their times.

        Args:
            packet: the next one.
            own_seconds: its time on the source's clock.
            arrival: when it came, as ``time.monotonic`` gives it.
        """
        is_key = packet.is_keyframe or self._is_all_key
        self._choose(arrival if own_seconds is None else own_seconds, is_key=is_key)
        if self._waits_for_key(arrival, is_key=is_key):
            return
        if self.key_frames_only:
            yield from self._key_picture(packet, own_seconds, arrival, is_key=is_key)
            return
        for picture in self._decoded(packet):
            seconds = self._clock.stamp(self._own_seconds(picture), arrival)
            if (
                seconds is not None
                and self._sampler.is_due(seconds)
                and self._is_good_enough(picture, seconds)
            ):
                self._sampler.take(seconds)
                yield seconds, picture

    def _waits_for_key(self, arrival: float, *, is_key: bool) -> bool:
        """Tell whether nothing can be decoded yet, since it rests on pictures that were not."""
        if not self._needs_key:
            return False
        self._needs_since = arrival if self._needs_since is None else self._needs_since
        if is_key or arrival - self._needs_since > _MAX_WITHOUT_KEY_SECONDS:
            self._needs_key, self._needs_since = False, None
        return self._needs_key

    def _choose(self, now: float, *, is_key: bool) -> None:
        """Begin or end decoding key frames alone, by how often they came lately."""
        if self._longest_interval is None or self._is_fixed:
            return
        if is_key:
            self._key_times.append(now)
            times = list(self._key_times)
            intervals = [later - earlier for earlier, later in pairwise(times)]
            come_often = len(intervals) == _NUM_INTERVALS and max(intervals) <= self._longest_interval
            if come_often != self.key_frames_only:
                self._stream.codec_context.flush_buffers()
            self.key_frames_only = come_often
        elif self.key_frames_only and now - self._key_times[-1] > 2 * self._longest_interval:
            self.key_frames_only = False
            self._needs_key, self._needs_since = True, None

    def _key_picture(
        self, packet: Packet[Any], own_seconds: float | None, arrival: float, *, is_key: bool
    ) -> Iterator[tuple[float, VideoFrame]]:
        seconds = self._clock.stamp(own_seconds, arrival)
        if seconds is None or not is_key or not self._sampler.is_due(seconds):
            return
        # Drained and emptied: the decoder would hold the picture back until the next one.
        pictures = [*self._decoded(packet), *self._decoded(None)]
        self._stream.codec_context.flush_buffers()
        for picture in pictures[:1]:
            if self._is_good_enough(picture, seconds):
                self._sampler.take(seconds)
                yield seconds, picture

    def _own_seconds(self, picture: VideoFrame) -> float | None:
        time_base = self._stream.time_base
        if not self._has_clock or picture.pts is None or time_base is None:
            return None
        return float(picture.pts * time_base)

    def _decoded(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        try:
            return self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.num_damaged += 1
            return []

    def _is_good_enough(self, picture: VideoFrame, seconds: float) -> bool:
        self.num_damaged += picture.is_corrupt
        last = self._last_taken
        if picture.is_corrupt and last is not None and seconds - last < _MAX_WITHOUT_SECONDS:
            return False
        self._last_taken = seconds
        return True
