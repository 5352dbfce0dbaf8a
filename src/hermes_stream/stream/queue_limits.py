"""How much may wait: frames of one stream, their bytes, and the time that they span."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hermes_stream.models.base import VideoModel
from hermes_stream.stream.intake import Intake
from hermes_stream.video.frame import Frame

QUEUE_FRAMES = 64
QUEUE_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Limits of the frames of one stream that are not in its memory yet.

    Attributes:
        chunk_frames: frames that are folded in together.
        num_frames: frames that wait, at most; at least two chunks.
        num_bytes: bytes that they and a chunk in hand take in host memory, at most.
        seconds: from the oldest that waits to the newest, at most; two chunks may always wait.
    """

    chunk_frames: int
    num_frames: int
    num_bytes: int
    seconds: float

    @classmethod
    def of(
        cls,
        model: VideoModel,
        chunk_frames: int,
        *,
        queue_frames: int = QUEUE_FRAMES,
        queue_bytes: int | None = None,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> QueueLimits:
        """Return the limits of a stream of an engine.

        Args:
            model: tells how large a frame is when it waits.
            chunk_frames: frames that are folded in together.
            queue_frames: frames that wait, at most; raised to two chunks.
            queue_bytes: bytes that they may take; None takes what so many frames and a chunk in hand take at
                the size that the model sees.
            queue_seconds: from the oldest to the newest, at most.

        Raises:
            ValueError: a limit is not a positive number.
        """
        limits = {"queue_frames": queue_frames, "queue_bytes": queue_bytes, "queue_seconds": queue_seconds}
        for name, value in limits.items():
            if value is not None and not (value >= 1 if name != "queue_seconds" else value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}")
        num_frames = max(queue_frames, 2 * chunk_frames)
        return cls(
            chunk_frames=chunk_frames,
            num_frames=num_frames,
            num_bytes=queue_bytes or (num_frames + chunk_frames) * model.max_frame_bytes,
            seconds=queue_seconds,
        )

    def check(self, frame: Frame) -> None:
        """Check that a chunk of such frames may wait while another one is in hand.

        Raises:
            ValueError: it may not.
        """
        needed = 2 * self.chunk_frames * frame.image.nbytes
        if needed > self.num_bytes:
            height, width = frame.image.shape[:2]
            raise ValueError(
                f"two chunks of {self.chunk_frames} frames of {height} x {width} pixels take {needed} bytes, "
                f"and {self.num_bytes} may wait; observe smaller frames, lower chunk_frames or raise the "
                f"engine's queue_bytes"
            )

    def are_reached(self, intake: Intake, frame: Frame) -> bool:
        """Tell whether a frame must wait for room, or for others to be forgotten."""
        waiting = intake.waiting
        if len(waiting) >= self.num_frames or intake.waiting_bytes + frame.image.nbytes > self.num_bytes:
            return True
        oldest_seconds = waiting[0].pts_seconds if waiting else math.inf
        return len(waiting) >= 2 * self.chunk_frames and frame.pts_seconds - oldest_seconds > self.seconds
