"""A stream of a service, whole: its row, its feed, what waits, and its place on the engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any

from hermes_stream.errors import ClosedError, StreamExistsError
from hermes_stream.service.events import NewEvent
from hermes_stream.service.feed import Feed
from hermes_stream.service.live_stream import LiveStream, MemoryStatus
from hermes_stream.service.memory_on_disk import MemoryOnDisk
from hermes_stream.service.pictures import StreamPictures
from hermes_stream.service.ring import FrameRing, RingLimits
from hermes_stream.service.shown import shown_source, without_folders
from hermes_stream.service.source_opening import OpenedSource
from hermes_stream.service.standing import Standing
from hermes_stream.service.status import DropCounts, PushReceipt, StreamState, StreamStatus
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.service.stream_rows import StreamRow
from hermes_stream.stream.saved_frames import check_frame
from hermes_stream.video.frame import Frame
from hermes_stream.video.sources.framing import Framing
from hermes_stream.video.sources.source import SourceEvent, SourceEventKind, SourceState

_FEED_SECONDS = 5.0
# What may pass over a restart without a gap: a file goes on with its next frame, so may whoever pushes one.
_BACK_SECONDS, _BACK_INTERVALS = 2.0, 3.0
_STATE_OF: dict[SourceState, StreamState] = {
    SourceState.OPENING: "opening",
    SourceState.LIVE: "live",
    SourceState.RECONNECTING: "reconnecting",
    SourceState.SLEEPING: "sleeping",
    SourceState.ENDED: "ended",
    SourceState.FAILED: "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a stream is given by its service.

    Attributes:
        shrink: returns a frame at the size that the model sees.
        tell: records an event.
        wake: lets the engine look for frames.
        change_row: changes columns of a stream's row, soon.
        silence_seconds: a pause between frames that is a gap.
    """

    shrink: Callable[[Frame], Frame]
    tell: Callable[[NewEvent], None]
    wake: Callable[[], None]
    change_row: Callable[[int, Mapping[str, Any]], None]
    silence_seconds: float


class ServedStream:
    """Takes frames from a feed or from whoever pushes, and tells what happens. Threads may share it.

    Args:
        row: as it is recorded.
        choices: what it was opened with.
        limits: of what waits for the engine.
        pictures: of its moments; None keeps none.
        disk: its snapshots and journal; None keeps nothing of the memory.
        standing: its watches.
        around: what the service gives.

    Attributes:
        row: as it is recorded now.
        choices: what it was opened with.
        pictures: of its moments.
        disk: its snapshots and journal.
        standing: its watches.
        live: its place on the engine, for the engine's thread; None where it has none.
        failure: why it has none, in words.
        restored_until_seconds: what it remembers from before a restart.
        preview: the newest frame that was due, as it came.
    """

    def __init__(
        self,
        row: StreamRow,
        choices: StreamChoices,
        *,
        limits: RingLimits,
        pictures: StreamPictures | None,
        disk: MemoryOnDisk | None,
        standing: Standing,
        around: Surroundings,
    ) -> None:
        self.row, self.choices = row, choices
        self.pictures, self.disk, self.standing = pictures, disk, standing
        self._around = around
        self.live: LiveStream | None = None
        self.failure: str | None = None
        self.restored_until_seconds: float | None = None
        self.preview: Frame | None = None
        self._lock = RLock()
        self._feed: Feed | None = None
        self._source_samples = False
        self._framing = Framing(**choices.framing)
        self._num_gaps = 0
        self._is_back = False
        self._told_drops = DropCounts()
        self.ring = FrameRing(limits, self._prepare)

    def go_on(self, newest_seconds: float | None, *, is_back: bool = False) -> None:
        """Take frames behind a time alone, with nothing waiting: that is what the memory knows.

        Args:
            newest_seconds: time of the newest frame in memory or intake; None where there is none.
            is_back: nothing ran for a while, which the next frame ends.
        """
        if is_back:
            self._is_back = newest_seconds is not None
        self.ring.go_on(newest_seconds, None if self._source_samples else self.choices.fps)

    def take(self, frame: Frame, *, wait_seconds: float | None = None) -> bool:
        """Take a frame from the feed or from whoever pushes; tell whether it was due.

        Args:
            frame: the next of the stream.
            wait_seconds: how long to wait for room; None pushes older ones out.

        Raises:
            ValueError: it is malformed or too large.
            OverloadedError: there was no room in time.
        """
        check_frame(frame)
        self._note_gap(frame.pts_seconds)
        if self.row.zero_wall_seconds is None:
            self._begin_clock(frame.pts_seconds)
        taken = self.ring.put(frame, wait_seconds=wait_seconds)
        if taken:
            self._around.wake()
        return taken

    def push(self, frames: Frame | Iterable[Frame], *, wait_seconds: float | None) -> PushReceipt:
        """Take frames from whoever pushes; see ``Service.push_frames``."""
        if self.row.source is not None:
            raise StreamExistsError(
                f"frames of stream {self.row.name!r} come from {shown_source(self.row.source)}; push to "
                "another stream"
            )
        self.require_live()
        before = self.ring.counts
        num_came = num_taken = 0
        for frame in [frames] if isinstance(frames, Frame) else frames:
            num_taken += self.take(frame, wait_seconds=wait_seconds)
            num_came += 1
        after = self.ring.counts
        return PushReceipt(
            newest_pts_seconds=after.newest_seconds,
            num_accepted=num_taken,
            num_skipped=num_came - num_taken,
            num_dropped=after.num_dropped - before.num_dropped,
        )

    def require_live(self) -> LiveStream:
        """Return the stream's place on the engine.

        Raises:
            ClosedError: it has none.
        """
        if self.live is None:
            raise ClosedError(f"stream {self.row.name!r} does not run: {self.failure or 'it is closed'}")
        return self.live

    def _prepare(self, frame: Frame) -> Frame:
        """Make a frame that is due ready to wait: it is seen, pictured and shrunk here."""
        if self._feed is None and self.choices.framing:
            frame = replace(frame, image=self._framing.apply(frame.image.copy()))
        small = self._around.shrink(frame)
        self.preview = frame
        if self.pictures is not None:
            zero = self.row.zero_wall_seconds or 0.0
            self.pictures.put(frame, zero + frame.pts_seconds)
        return small

    def _note_gap(self, pts_seconds: float) -> None:
        """Tell of the pause of a restart, and of frames that are pushed; a source tells of its own."""
        newest = self.ring.counts.newest_seconds
        is_back, self._is_back = self._is_back, False
        if newest is None or (self._feed is not None and not is_back):
            return
        usual = _BACK_SECONDS if self.choices.fps is None else _BACK_INTERVALS / self.choices.fps
        longest = usual if is_back else self._around.silence_seconds
        if pts_seconds - newest > longest:
            self._num_gaps += 1
            self.tell("gap", pts_seconds=newest, until_seconds=pts_seconds, seconds=pts_seconds - newest)

    def _begin_clock(self, pts_seconds: float) -> None:
        zero = None if self._feed is None else self._feed.stats.zero_wall_seconds
        if zero is None:
            zero = time.time() - pts_seconds
        with self._lock:
            if self.row.zero_wall_seconds is None:
                self.change_row(zero_wall_seconds=zero)

    def change_row(self, **fields: Any) -> None:
        """Change columns of the row, here at once and in the record soon."""
        with self._lock:
            self.row = replace(self.row, **fields)
            if not self.row.is_temporary:  # within the lock: no event of an epoch comes behind the next one
                self._around.change_row(self.row.id, fields)

    def tell(
        self, kind: str, *, pts_seconds: float | None = None, picture: str | None = None, **payload: Any
    ) -> None:
        """Record an event of this stream, unless it is in no record."""
        if self.row.is_temporary:
            return
        with self._lock:
            self._around.tell(
                NewEvent(
                    kind=kind,
                    stream_id=self.row.id,
                    epoch=self.row.epoch,
                    pts_seconds=pts_seconds,
                    wall_seconds=time.time(),
                    payload=payload,
                    picture=picture,
                )
            )

    def start_feed(self, opened: OpenedSource) -> None:
        """Read a source from now on."""
        wait_seconds = math.inf if opened.waits else None
        feed = Feed(
            self.row.name,
            opened.source,
            take=lambda frame: void(self.take(frame, wait_seconds=wait_seconds)),
            tell=self._hear,
        )
        with self._lock:
            self._feed = feed
            self._source_samples = opened.samples
        self.change_row(source=opened.address, opens_again=opened.opens_again, has_ended=False)
        self.go_on(self.ring.counts.newest_seconds)
        feed.start()

    def _hear(self, event: SourceEvent) -> None:
        """Record what happened to the source."""
        if event.kind is SourceEventKind.GAP:
            self._is_back = False  # a live source tells of a restart by itself
            until = event.pts_seconds + event.gap_seconds
            self.tell("gap", pts_seconds=event.pts_seconds, until_seconds=until, seconds=event.gap_seconds)
            return
        self.tell(
            "source_state",
            pts_seconds=event.pts_seconds,
            state=self._state()[0],
            what=event.kind.value,
            reason=without_folders(event.reason, self.row.source),
        )
        if event.kind is SourceEventKind.ENDED:
            self.change_row(has_ended=True)

    @property
    def has_feed(self) -> bool:
        """Whether a source is read now."""
        feed = self._feed
        return feed is not None and feed.is_running

    def leave_source(self) -> None:
        """Ask the source to stop; its thread ends soon."""
        if self._feed is not None:
            self._feed.source.stop()

    def stop_feed(self) -> None:
        """Read the source no longer; it is closed by its own thread, soon."""
        self.ring.close()
        if self._feed is not None:
            self._feed.stop(_FEED_SECONDS)

    def delete_files(self) -> None:
        """Delete what lies in folders: pictures, snapshots, journal."""
        if self.pictures is not None:
            self.pictures.delete_all()
        if self.disk is not None:
            self.disk.delete()

    def _state(self) -> tuple[StreamState, str | None]:
        """Return the state, and why it is so."""
        feed = self._feed
        failure = self.failure or (feed.failure if feed is not None else None)
        if failure is not None:
            return "failed", without_folders(failure, self.row.source)
        if feed is not None:
            stats = feed.stats
            return _STATE_OF[stats.state], without_folders(stats.reason, self.row.source) or None
        if self.row.has_ended:
            return "ended", "the source has ended"
        return self._state_without_source()

    def _state_without_source(self) -> tuple[StreamState, str | None]:
        if self.row.source is not None:
            return "waiting", "the source was not opened again: give its address once more"
        counts = self.ring.counts
        if counts.delivered_fps > 0:
            return "live", None
        never = counts.newest_seconds is None
        return "waiting", "no frame was pushed yet" if never else "no frame was pushed lately"

    def status(self, memory: MemoryStatus | None) -> StreamStatus:
        """Return how the stream is now.

        Args:
            memory: what the engine's thread knows of it; None where it has no place there.
        """
        counts, feed = self.ring.counts, self._feed
        stats = None if feed is None else feed.stats
        state, reason = self._state()
        newest = counts.newest_seconds
        observed = memory.observed_until_seconds if memory else None
        return StreamStatus(
            name=self.row.name,
            state=state,
            reason=reason,
            source=shown_source(self.row.source),
            policy=self.choices.policy,
            budget_tokens=self.choices.budget_tokens,
            filter=self.choices.filter,
            fps=self.choices.fps,
            chunk_frames=memory.chunk_frames if memory else self.choices.chunk_frames,
            owner=self.row.owner,
            is_temporary=self.row.is_temporary,
            epoch=self.row.epoch,
            zero_wall_seconds=self.row.zero_wall_seconds,
            newest_pts_seconds=newest,
            folded_until_seconds=memory.folded_until_seconds if memory else None,
            restored_until_seconds=self.restored_until_seconds,
            lag_seconds=0.0 if newest is None or observed is None else max(0.0, newest - observed),
            declared_fps=stats.declared_fps if stats else None,
            delivered_fps=stats.delivered_fps if stats else counts.delivered_fps,
            num_frames=memory.stats.num_frames if memory else 0,
            num_skipped_frames=counts.num_skipped,
            num_waiting_frames=counts.num_waiting + (memory.stats.num_pending_frames if memory else 0),
            waiting_bytes=counts.waiting_bytes + (memory.stats.waiting_bytes if memory else 0),
            dropped=self._drops(memory),
            num_gaps=(stats.num_gaps if stats else 0) + self._num_gaps,
            num_reconnections=stats.num_reconnections if stats else 0,
            clock_drift_seconds=stats.drift_seconds if stats else None,
            num_open_questions=memory.num_open_questions if memory else 0,
            memory=memory.stats if memory else None,
            watches=memory.watches if memory else None,
            created_wall_seconds=self.row.created_wall_seconds,
        )

    def _drops(self, memory: MemoryStatus | None) -> DropCounts:
        feed = self._feed
        stats = None if feed is None else feed.stats
        num_refused = 0 if feed is None else feed.num_refused
        return DropCounts(
            decode=(stats.num_damaged + stats.num_dropped if stats else 0) + num_refused,
            ring=self.ring.counts.num_dropped,
            engine=memory.num_lost if memory else 0,
        )

    def tell_drops(self, memory: MemoryStatus | None) -> None:
        """Record how many frames were lost since this was told last, if any."""
        drops, told = self._drops(memory), self._told_drops
        if drops.total > told.total:
            newest = self.ring.counts.newest_seconds
            self.tell(
                "frames_dropped",
                pts_seconds=newest,
                decode=drops.decode - told.decode,
                ring=drops.ring - told.ring,
                engine=drops.engine - told.engine,
            )
        self._told_drops = drops


def void(_: Any) -> None:
    """Return nothing of a value."""
