"""Timed pictures: where they come from, how they are sampled and how they are written.

It knows numpy and, once a file is opened or written, PyAV; it knows nothing about models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hermes_stream.video.frame import Frame
from hermes_stream.video.sampling import sample_frames

if TYPE_CHECKING:
    from hermes_stream.video.sources.file import FileSource
    from hermes_stream.video.writing import write_video

__all__ = ["Frame", "FileSource", "sample_frames", "write_video"]

_NEEDS_PYAV = {
    "FileSource": "hermes_stream.video.sources.file",
    "write_video": "hermes_stream.video.writing",
}


def __getattr__(name: str) -> Any:
    """Load what needs PyAV on first use, so that a machine without it can still import the rest."""
    if name not in _NEEDS_PYAV:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_PYAV[name]), name)
