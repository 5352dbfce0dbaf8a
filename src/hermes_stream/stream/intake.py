"""The rim of a stream: frames are checked once, sampled by time where a rate is asked for, and wait here."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hermes_stream.video.frame import Frame

log = logging.getLogger(__name__)
_EARLY = 0.1
_GAP_SECONDS = 60.0
_MAX_GAP_SECONDS = 1e7
_MAX_SECONDS = 1e11


class Intake:
    """Checks frames, takes the first one of every interval of 1 / fps seconds, and holds it for its chunk.

    Unlike ``video.sample_frames`` it never waits for a later frame, so that a live picture is seen at once. A
    frame up to a tenth of an interval early counts as due: cameras jitter.

    A frame that is refused changes nothing: the stream goes on with the next.

    Args:
        fps: frames to take per second; None takes all.
        check_size: raises ``ValueError`` for a height and width that the model cannot read; None takes any.
        shrink: returns a frame as it waits, at the size that the model sees.

    Attributes:
        fps: frames taken per second; None takes all.
        waiting: frames that wait, oldest first.
        in_hand: frames that are being folded into the memory; they wait again if that fails.
        num_accepted: frames taken in so far.
        num_gaps: pauses of more than a minute between frames.

    Raises:
        ValueError: the rate is not a positive number.
    """

    def __init__(
        self,
        fps: float | None,
        check_size: Callable[[int, int], object] | None = None,
        shrink: Callable[[Frame], Frame] = lambda frame: frame,
    ) -> None:
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise ValueError(
                f"fps must be a positive number of frames per second, or None for all; got {fps}"
            )
        self.fps, self._check_size, self._shrink = fps, check_size, shrink
        self._start_seconds: float | None = None
        self._newest_seconds = -math.inf
        self._due = 0
        self.waiting: list[Frame] = []
        self.in_hand: list[Frame] = []
        self.num_accepted = self.num_gaps = 0

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
            ValueError: it is malformed, not later than the one before, or later by more than 115 days.
        """
        check_frame(frame)
        gap_seconds = self._gap_before(frame)
        if self._check_size is not None:
            self._check_size(*frame.size)
        next_due = self._next_due(frame)
        if next_due is not None:
            if not frame.image.flags.writeable:  # torch warns of these, and its tensors share the memory
                frame = replace(frame, image=frame.image.copy())
            frame = self._shrink(frame)
            make_room(frame)
        # nothing fails from here on, so that a frame is taken in whole or not at all
        if gap_seconds > _GAP_SECONDS:
            self.num_gaps += 1
            log.warning("no frame came for %.0f seconds of the stream", gap_seconds)
        self._newest_seconds = frame.pts_seconds
        if self._start_seconds is None:
            self._start_seconds = frame.pts_seconds
        if next_due is not None:
            self._due = next_due
            self.waiting.append(frame)
            self.num_accepted += 1

    def take(self, count: int) -> Sequence[Frame]:
        """Take the oldest waiting frames in hand, and return them."""
        self.in_hand, self.waiting = self.waiting[:count], self.waiting[count:]
        return tuple(self.in_hand)

    def drop(self, frames: Sequence[Frame]) -> None:
        """Forget frames in hand: they are in the memory, or left out for good."""
        dropped = set(map(id, frames))  # to compare frames is to compare pictures
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
        if gap_seconds > _MAX_GAP_SECONDS:
            raise ValueError(
                f"frames may be at most {_MAX_GAP_SECONDS:g} seconds apart: got pts_seconds "
                f"{frame.pts_seconds} after {self._newest_seconds}; give times in seconds, or start a new "
                "session for a new stream"
            )
        return gap_seconds

    def _next_due(self, frame: Frame) -> int | None:
        """Return which instant is due after a frame, or None where the frame itself is not due."""
        if self.fps is None or self._start_seconds is None:
            return 1
        instant = math.floor((frame.pts_seconds - self._start_seconds) * self.fps + _EARLY)
        return None if instant < self._due else instant + 1


def check_frame(frame: Frame) -> None:
    """Check that a frame is a timed RGB picture.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(frame, Frame):
        raise ValueError(f"observe takes Frame(pts_seconds=..., image=...), got a {type(frame).__name__}")
    seconds = frame.pts_seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | np.floating | np.integer):
        raise ValueError(f"pts_seconds must be a number of seconds, got {seconds!r}")
    if not -_MAX_SECONDS <= seconds <= _MAX_SECONDS:
        # beyond, neighbouring frames would have the same time in 64 bits
        raise ValueError(
            f"pts_seconds must be a finite number from -{_MAX_SECONDS:g} to {_MAX_SECONDS:g}, got {seconds}"
        )
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"{image.dtype} array" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"a frame's image must be a numpy array of uint8, got a {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a frame's image must have shape [height, width, 3], got {list(image.shape)}")
