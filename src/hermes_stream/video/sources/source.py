"""What every source offers: frames and events to one thread, its state to all."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, final

from hermes_stream.video.frame import Frame

_RATE_SECONDS = 10.0


class SourceState(StrEnum):
    """Where a source stands.

    ``sleeping`` is outside its schedule; ``ended`` gives no more frames, and was right to; ``failed`` gives
    none either, and trying again would not help.
    """

    OPENING = "opening"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    SLEEPING = "sleeping"
    ENDED = "ended"
    FAILED = "failed"


class SourceEventKind(StrEnum):
    """What happened to a source.

    ``gap`` comes right before the frame that ends it, after ``reconnected`` where there was one.
    """

    OPENED = "opened"
    DISCONNECTED = "disconnected"
    RECONNECTED = "reconnected"
    GAP = "gap"
    FORMAT_CHANGED = "format_changed"
    SLEEPING = "sleeping"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    """Something that happened to a source between two frames.

    Attributes:
        kind: what.
        pts_seconds: when, on the stream's clock; of a gap, its beginning.
        reason: in words, without user names and passwords.
        gap_seconds: how long no picture came, 0 unless it is a gap.
    """

    kind: SourceEventKind
    pts_seconds: float
    reason: str
    gap_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPoint:
    """A moment of a stream's clock, from which a source that is opened again goes on.

    Attributes:
        zero_wall_seconds: when the stream's second 0 was, in seconds since 1970 (UTC).
        newest_seconds: time of its newest frame, on its own clock; later ones are later.
    """

    zero_wall_seconds: float
    newest_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStats:
    """A source at one moment.

    Attributes:
        address: where frames come from, without user name, password and whatever may be one.
        state: where it stands.
        reason: why, in words; empty while all is well.
        zero_wall_seconds: when the stream's second 0 was, in seconds since 1970; None before the first frame.
        newest_seconds: time of the newest picture, on the stream's clock; None before the first.
        declared_fps: frames per second that the source says it has; None if it does not say.
        delivered_fps: pictures per second that came in the last 10 s.
        codec: name of the codec, such as ``h264``.
        width: of a picture as it comes, in pixels.
        height: of a picture as it comes, in pixels.
        key_frames_only: tells whether only key frames are decoded.
        num_pictures: that came, decoded or passed over.
        num_frames: that were given on: what sampling took.
        num_damaged: pictures and packets with errors in them.
        num_dropped: frames that were dropped because nobody read them in time.
        num_gaps: times that no picture came for long.
        gap_seconds: of all gaps together.
        num_reconnections: times that it was opened again and gave pictures again.
        num_failed_tries: to open it, since it last gave pictures.
        drift_seconds: how far the source's clock ran ahead of this machine's since it was opened; None
            where it has no clock.
    """

    address: str
    state: SourceState = SourceState.OPENING
    reason: str = ""
    zero_wall_seconds: float | None = None
    newest_seconds: float | None = None
    declared_fps: float | None = None
    delivered_fps: float = 0.0
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    key_frames_only: bool = False
    num_pictures: int = 0
    num_frames: int = 0
    num_damaged: int = 0
    num_dropped: int = 0
    num_gaps: int = 0
    gap_seconds: float = 0.0
    num_reconnections: int = 0
    num_failed_tries: int = 0
    drift_seconds: float | None = None


class Source(Protocol):
    """Where frames come from.

    One thread reads, once; any thread may stop it and look at ``stats``.
    """

    def read(self) -> Iterator[Frame | SourceEvent]:
        """Yield frames and events until the source ends, fails or is stopped.

        Times of frames increase strictly, on the stream's clock: seconds since its beginning. Whatever the
        source holds is closed when this ends, in the thread that iterates: close the iterator there if you
        abandon it.
        """

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames alone."""

    def stop(self) -> None:
        """Make ``read`` end within a second; from any thread, more than once, before reading too."""

    @property
    def stats(self) -> SourceStats:
        """What is known of the source now."""


@final
class Tally:
    """Keeps the stats of a source: written by the thread that reads it, read by all.

    Args:
        address: where frames come from, as it may be shown.
    """

    def __init__(self, address: str) -> None:
        self._lock = threading.Lock()
        self._stats = SourceStats(address=address)
        self._arrivals: deque[float] = deque()
        self._first_arrival: float | None = None

    @property
    def stats(self) -> SourceStats:
        """The stats now."""
        with self._lock:
            return replace(self._stats, delivered_fps=self._delivered_fps())

    def set(self, **changes: Any) -> None:
        """Replace fields of the stats."""
        with self._lock:
            self._stats = replace(self._stats, **changes)

    def count(self, **increments: float) -> None:
        """Add to fields of the stats."""
        with self._lock:
            sums = {name: getattr(self._stats, name) + by for name, by in increments.items()}
            self._stats = replace(self._stats, **sums)

    def picture_came(self, pts_seconds: float, *, num_new_damaged: int = 0, **changes: Any) -> None:
        """Note that a picture came.

        Args:
            pts_seconds: its time on the stream's clock.
            num_new_damaged: pictures and packets that were found damaged with it.
            changes: fields of the stats that it brings.
        """
        now = time.monotonic()
        with self._lock:
            self._first_arrival = now if self._first_arrival is None else self._first_arrival
            self._arrivals.append(now)
            self._forget(now)
            changes |= {
                "num_pictures": self._stats.num_pictures + 1,
                "num_damaged": self._stats.num_damaged + num_new_damaged,
                "newest_seconds": pts_seconds,
            }
            self._stats = replace(self._stats, **changes)

    def event(self, kind: SourceEventKind, reason: str, **fields: float) -> SourceEvent:
        """Return an event that happens now, at the time of the newest picture unless given otherwise."""
        seconds = self._stats.newest_seconds or 0.0
        return SourceEvent(kind=kind, reason=reason, **{"pts_seconds": seconds, **fields})

    def _delivered_fps(self) -> float:
        now = time.monotonic()
        self._forget(now)
        if not self._arrivals or self._first_arrival is None:
            return 0.0
        return len(self._arrivals) / min(_RATE_SECONDS, max(1.0, now - self._first_arrival))

    def _forget(self, now: float) -> None:
        while self._arrivals and self._arrivals[0] < now - _RATE_SECONDS:
            self._arrivals.popleft()
