"""Frames that a stream holds: what is a frame, and frames out of a stream and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from hermes_stream.errors import SnapshotError
from hermes_stream.saved import Saved
from hermes_stream.video.frame import Frame

MAX_SECONDS = 1e11
CheckSize = Callable[[int, int], object]
_MAX_FRAMES = 100_000


def saved_frames(frames: Iterable[Frame]) -> Saved:
    """Return frames with their times and pictures."""
    frames = tuple(frames)
    # torch reads no views that run backwards
    images = [torch.from_numpy(np.ascontiguousarray(frame.image)) for frame in frames]
    return Saved(
        tensors={str(index): image for index, image in enumerate(images)},
        values={"num_frames": len(frames)},
        parts={str(index): Saved(values=frame_values(frame)) for index, frame in enumerate(frames)},
    )


def restored_frames(saved: Saved, check_size: CheckSize | None) -> list[Frame]:
    """Return frames that were saved.

    Args:
        saved: what ``saved_frames`` returned.
        check_size: raises ``ValueError`` for a height and width that the model cannot read.

    Raises:
        SnapshotError: one is malformed, or its size is none that the model reads.
    """
    count = saved.integer("num_frames", most=_MAX_FRAMES)
    frames = []
    for name in map(str, range(count)):
        picture = saved.tensor(name, dtype=torch.uint8, shape=(None, None, 3))
        frames.append(checked_frame(saved.part(name), picture.numpy(force=True), check_size))
    return frames


def frame_values(frame: Frame) -> dict[str, Any]:
    """Return all of a frame but its picture."""
    height, width = frame.source_size or (None, None)
    return {
        "pts_seconds": frame.pts_seconds,
        "duration_seconds": frame.duration_seconds,
        "source_height": height,
        "source_width": width,
    }


def checked_frame(saved: Saved, image: Any, check_size: CheckSize | None) -> Frame:
    """Return a frame of its values and its picture.

    Raises:
        SnapshotError: it is malformed, or its size is none that the model reads.
    """
    source_size = None
    if saved.has("source_height"):
        source_size = (saved.integer("source_height", least=1), saved.integer("source_width", least=1))
    frame = Frame(
        pts_seconds=saved.number("pts_seconds"),
        image=image,
        duration_seconds=saved.number("duration_seconds", least=0),
        source_size=source_size,
    )
    try:
        check_frame(frame)
        if check_size is not None:
            check_size(*frame.size)
    except ValueError as error:
        raise SnapshotError(
            f"{saved.path} is no frame: {error}; the snapshot is damaged, take an older one"
        ) from error
    return frame


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
    if not -MAX_SECONDS <= seconds <= MAX_SECONDS:
        # beyond, neighbouring frames would have the same time in 64 bits
        raise ValueError(
            f"pts_seconds must be a finite number from -{MAX_SECONDS:g} to {MAX_SECONDS:g}, got {seconds}"
        )
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"{image.dtype} array" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"a frame's image must be a numpy array of uint8, got a {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a frame's image must have shape [height, width, 3], got {list(image.shape)}")
