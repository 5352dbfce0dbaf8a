"""The rim of a session: frames are checked once, sampled by time where a rate is asked for, and wait here."""

from __future__ import annotations

import math

import numpy as np

from hermes_stream.video.frame import Frame

_EARLY = 0.1


class Intake:
    """Checks frames, takes the first one of every interval of 1 / fps seconds, and holds it for its chunk.

    Unlike ``video.sample_frames`` it never waits for a later frame, so that a live picture is seen at once. A
    frame up to a tenth of an interval early counts as due: cameras jitter.

    Args:
        fps: frames to take per second; None takes all.

    Attributes:
        waiting: frames that wait, oldest first.
        num_accepted: frames taken in so far.

    Raises:
        ValueError: the rate is not a positive number.
    """

    def __init__(self, fps: float | None) -> None:
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise ValueError(
                f"fps must be a positive number of frames per second, or None for all; got {fps}"
            )
        self._fps = fps
        self._start_seconds: float | None = None
        self._newest_seconds = -math.inf
        self._due = 0
        self.waiting: list[Frame] = []
        self.num_accepted = 0

    @property
    def num_folded(self) -> int:
        """Frames accepted that no longer wait."""
        return self.num_accepted - len(self.waiting)

    def accept(self, frame: Frame) -> None:
        """Check a frame, and let it wait if it is due.

        Raises:
            ValueError: it is malformed, or not later than the one before.
        """
        if self._is_due(frame):
            self.waiting.append(frame)
            self.num_accepted += 1

    def _is_due(self, frame: Frame) -> bool:
        check_frame(frame)
        if frame.pts_seconds <= self._newest_seconds:
            raise ValueError(
                f"frames must come in order of time: got pts_seconds {frame.pts_seconds} after "
                f"{self._newest_seconds}; start a new session for a new stream"
            )
        self._newest_seconds = frame.pts_seconds
        if self._start_seconds is None:
            self._start_seconds = frame.pts_seconds
        if self._fps is None:
            return True
        instant = (frame.pts_seconds - self._start_seconds) * self._fps + _EARLY
        if instant < self._due:
            return False
        self._due = math.floor(instant) + 1
        return True


def check_frame(frame: Frame) -> None:
    """Check that a frame is a timed RGB picture.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(frame, Frame):
        raise ValueError(f"observe takes Frame(pts_seconds=..., image=...), got a {type(frame).__name__}")
    if not math.isfinite(frame.pts_seconds):
        raise ValueError(f"pts_seconds must be a finite number of seconds, got {frame.pts_seconds}")
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"{image.dtype} array" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"a frame's image must be a numpy array of uint8, got a {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a frame's image must have shape [height, width, 3], got {list(image.shape)}")
