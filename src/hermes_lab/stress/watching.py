"""Watches one file after another in a process of its own, and says how it went: one JSON line each."""

from __future__ import annotations

import contextlib
import json
import math
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

from hermes_stream.errors import VideoError
from hermes_stream.video import FileSource

_MAX_ADDRESS_BYTES = 6 * 2**30  # a guard for the machine; what counts is memory that is used
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


def main() -> None:
    """Answer each line of standard input, a path and options, with an outcome and the memory it took."""
    import logging

    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_BYTES, _MAX_ADDRESS_BYTES))
    for line in sys.stdin:
        task = json.loads(line)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        try:
            result = watch(task["path"], task["options"])
        except Exception:
            result = {"outcome": "traceback", "message": traceback.format_exc(limit=-4)}
        sys.stdout.write(json.dumps(result | {"peak_bytes": peak_bytes()}) + "\n")
        sys.stdout.flush()


def peak_bytes() -> int:
    """Return the most memory that this process has had since it was last told to forget."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
