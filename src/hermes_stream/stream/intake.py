"""The rim of a stream: frames are checked once, sampled by time where a rate is asked for, and wait here."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hermes_stream.errors import SnapshotError
from hermes_stream.saved import Saved
from hermes_stream.stream.changes import Changes, FrameCame, FrameForgotten
from hermes_stream.stream.saved_frames import MAX_SECONDS, check_frame, restored_frames, saved_frames
from hermes_stream.video.frame import Frame

log = logging.getLogger(__name__)
_EARLY = 0.1
_GAP_SECONDS = 60.0
_MAX_GAP_SECONDS = 1e7


class Intake:
    """Checks frames, takes the first one of every interval of 1 / fps seconds, and holds it for its chunk.

    Unlike ``video.sample_frames`` it never waits for a later frame, so that a live picture is seen at once. A
    frame up to a tenth of an interval early counts as due: cameras jitter.

    A frame that is refused changes nothing: the stream goes on with the next.

    Args:
        fps: frames to take per second; None takes all.
        check_size: raises ``ValueError`` for a height and width that the model cannot read; None takes any.
        shrink: returns a frame as it waits, at the size that the model sees.
        changes: is told what came, and what was forgotten.

    Attributes:
        fps: frames taken per second; None takes all.
        waiting: frames that wait, oldest first.
        in_hand: frames that are being folded into the memory; they wait again if that fails.
        num_accepted: frames taken in so far.
        num_forgotten: frames that waited and were dropped, because too many did.
        num_gaps: pauses of more than a minute between frames.

    Raises:
        ValueError: the rate is not a positive number.
    """

    def __init__(
        self,
        fps: float | None,
        check_size: Callable[[int, int], object] | None = None,
        shrink: Callable[[Frame], Frame] = lambda frame: frame,
        changes: Changes | None = None,
    ) -> None:
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise ValueError(
                f"fps must be a positive number of frames per second, or None for all; got {fps}"
            )
        self.fps, self._check_size, self._shrink = fps, check_size, shrink
        self._changes = changes or Changes()
        self._start_seconds: float | None = None
        self._newest_seconds = -math.inf
        self._refused_seconds: float | None = None
        self._due = 0
        self.waiting: list[Frame] = []
        self.in_hand: list[Frame] = []
        self.num_accepted = self.num_forgotten = self.num_gaps = 0

    @property
    def newest_seconds(self) -> float | None:
        """Time of the newest frame, taken in or not; None before the first."""
        return None if self._start_seconds is None else self._newest_seconds

    @property
    def num_folded(self) -> int:
        """Frames accepted that no longer wait."""
        return self.num_accepted - len(self.waiting)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of host memory that frames take which are not in the memory yet."""
        return sum(frame.image.nbytes for frames in (self.in_hand, self.waiting) for frame in frames)

    def accept(self, frame: Frame, make_room: Callable[[Frame], None] = lambda _: None) -> None:
        """Check a frame, and let it wait if it is due.

        Args:
            frame: the next of the stream.
            make_room: is given a frame that is about to wait; what it raises leaves the frame out.

        Raises:
            ValueError: it is malformed, not later than the one before, or later by more than 115 days and the
                first that is: where the next goes on from there, the pause was one.
        """
        check_frame(frame)
        if isinstance(frame.pts_seconds, np.generic):
            # numpy would count on in the precision of the first, and no file has its kinds of numbers
            frame = replace(frame, pts_seconds=frame.pts_seconds.item())
        gap_seconds = self._gap_before(frame)
        if gap_seconds > _MAX_GAP_SECONDS and not self._goes_on(frame):
            raise ValueError(
                f"frames may be at most {_MAX_GAP_SECONDS:g} seconds apart: got pts_seconds "
                f"{frame.pts_seconds} after {self._newest_seconds}; give times in seconds; where the next "
                "frame goes on from there it is taken"
            )
        if self._check_size is not None:
            self._check_size(*frame.size)
        next_due = self._next_due(frame)
        if next_due is not None:
            shown, frame = frame.image, self._shrink(frame)
            if np.may_share_memory(frame.image, shown):  # a buffer that the next picture overwrites
                frame = replace(frame, image=frame.image.copy())
            make_room(frame)
        # nothing fails from here on, so that a frame is taken in whole or not at all
        if gap_seconds > _GAP_SECONDS:
            self.num_gaps += 1
            log.warning("no frame came for %.0f seconds of the stream", gap_seconds)
        self._newest_seconds, self._refused_seconds = frame.pts_seconds, None
        if self._start_seconds is None:
            self._start_seconds = frame.pts_seconds
        if next_due is not None:
            self._admit(frame, next_due)

    def _admit(self, frame: Frame, next_due: int) -> None:
        self._due = next_due
        self.waiting.append(frame)
        self.num_accepted += 1
        self._changes.note(FrameCame(frame=frame, due=next_due, num_gaps=self.num_gaps))

    def admit_again(self, came: FrameCame) -> None:
        """Take in a frame that another intake took in, without a look at times.

        Raises:
            SnapshotError: it is no frame, or not later than the one before.
        """
        frame = came.frame
        try:
            check_frame(frame)
            self._gap_before(frame)
            if self._check_size is not None:
                self._check_size(*frame.size)
        except ValueError as error:
            raise SnapshotError(f"a recorded frame cannot be taken in again: {error}") from error
        self._newest_seconds, self.num_gaps = frame.pts_seconds, came.num_gaps
        if self._start_seconds is None:
            self._start_seconds = frame.pts_seconds
        self._admit(frame, came.due)

    def forget(self, index: int) -> None:
        """Drop a frame that waits.

        Args:
            index: among those that wait, oldest first.
        """
        del self.waiting[index]
        self.num_forgotten += 1
        self._changes.note(FrameForgotten(index=len(self.in_hand) + index))

    def forget_again(self, forgotten: FrameForgotten) -> None:
        """Drop a frame that another intake dropped.

        Raises:
            SnapshotError: so many do not wait here.
        """
        if not 0 <= forgotten.index < len(self.waiting):
            raise SnapshotError(
                f"frame {forgotten.index} of those that wait was dropped, and {len(self.waiting)} wait; the "
                "journal does not go on where the snapshot ends"
            )
        self.forget(forgotten.index)

    def indices_of(self, frames: Sequence[Frame]) -> tuple[int, ...]:
        """Return where frames are among all that are not in the memory yet, oldest first."""
        wanted = set(map(id, frames))  # to compare frames is to compare pictures
        every = enumerate([*self.in_hand, *self.waiting])
        return tuple(index for index, frame in every if id(frame) in wanted)

    def saved(self) -> Saved:
        """Return the frames that are not in the memory yet, and where the sampling stands."""
        return Saved(
            values={
                "start_seconds": self._start_seconds,
                "newest_seconds": self.newest_seconds,
                "due": self._due,
                "num_accepted": self.num_accepted,
                "num_forgotten": self.num_forgotten,
                "num_gaps": self.num_gaps,
            },
            parts={"waiting": saved_frames([*self.in_hand, *self.waiting])},
        )

    def restore(self, saved: Saved) -> None:
        """Go on where another intake was.

        Raises:
            SnapshotError: what was saved is no such state.
        """
        self.waiting = restored_frames(saved.part("waiting"), self._check_size)
        self.num_accepted = saved.integer("num_accepted", least=len(self.waiting))
        self.num_forgotten, self.num_gaps = saved.integer("num_forgotten"), saved.integer("num_gaps")
        self._due = saved.integer("due")
        if saved.has("start_seconds"):
            self._start_seconds = saved.number("start_seconds", least=-MAX_SECONDS, most=MAX_SECONDS)
            self._newest_seconds = saved.number("newest_seconds", least=self._start_seconds, most=MAX_SECONDS)

    def take(self, count: int) -> Sequence[Frame]:
        """Take the oldest waiting frames in hand, and return them."""
        self.in_hand, self.waiting = self.waiting[:count], self.waiting[count:]
        return tuple(self.in_hand)

    def drop(self, frames: Sequence[Frame]) -> None:
        """Forget frames in hand: they are in the memory, or left out for good."""
        dropped = set(map(id, frames))
        self.in_hand = [frame for frame in self.in_hand if id(frame) not in dropped]

    def put_back(self) -> None:
        """Let frames that are still in hand wait again."""
        self.in_hand, self.waiting = [], self.in_hand + self.waiting

    def _gap_before(self, frame: Frame) -> float:
        """Return the seconds since the frame before, 0 for the first."""
        if self._start_seconds is None:
            return 0.0
        gap_seconds = frame.pts_seconds - self._newest_seconds
        if gap_seconds <= 0:
            raise ValueError(
                f"frames must come in order of time: got pts_seconds {frame.pts_seconds} after "
                f"{self._newest_seconds}; start a new session for a new stream"
            )
        return gap_seconds

    def _goes_on(self, frame: Frame) -> bool:
        """Tell whether a frame comes behind one that was refused for its time, which then was no slip."""
        refused, self._refused_seconds = self._refused_seconds, frame.pts_seconds
        return refused is not None and 0 < frame.pts_seconds - refused <= _MAX_GAP_SECONDS

    def _next_due(self, frame: Frame) -> int | None:
        """Return which instant is due after a frame, or None where the frame itself is not due."""
        if self.fps is None or self._start_seconds is None:
            return 1
        instant = math.floor((frame.pts_seconds - self._start_seconds) * self.fps + _EARLY)
        return None if instant < self._due else instant + 1
