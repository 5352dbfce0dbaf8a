"""Watches one file after another in a process of its own, and says how it went: one JSON line each."""

from __future__ import annotations

import math
from typing import Any

from hermes_lab.stress.workers import answer_tasks
from hermes_stream.errors import VideoError
from hermes_stream.video import FileSource

_MAX_FRAMES = 200_000


def watch(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Watch a file to its end and return the outcome.

    Args:
        path: a video.
        options: arguments of ``FileSource``.

    Raises:
        Exception: whatever is not refused in words.
    """
    try:
        source = FileSource(path, **options)
        last_seconds, num_frames = -math.inf, 0
        for frame in source:
            if not frame.pts_seconds > last_seconds or frame.image.shape != (source.height, source.width, 3):
                raise AssertionError(
                    f"frame at {frame.pts_seconds} s after {last_seconds} s, {frame.image.shape}"
                )
            last_seconds, num_frames = frame.pts_seconds, num_frames + 1
            if num_frames > _MAX_FRAMES:
                raise AssertionError(f"more than {_MAX_FRAMES} frames")
    except VideoError as error:
        return {"outcome": "refused", "message": str(error)}
    return {"outcome": "damaged" if source.damage else "watched", "frames": num_frames}


if __name__ == "__main__":
    answer_tasks(lambda task: watch(task["path"], task["options"]))
