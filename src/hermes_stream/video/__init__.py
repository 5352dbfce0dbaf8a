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
    from hermes_stream.video.sources.opening import open_source
    from hermes_stream.video.sources.options import SourceOptions
    from hermes_stream.video.sources.policy import SourcePolicy
    from hermes_stream.video.sources.pushed import PushedFrames
    from hermes_stream.video.sources.source import Source, SourceEvent, SourceStats
    from hermes_stream.video.writing import write_video

__all__ = [
    "Frame",
    "FileSource",
    "sample_frames",
    "write_video",
    "open_source",
    "Source",
    "SourceEvent",
    "SourceOptions",
    "SourcePolicy",
    "SourceStats",
    "PushedFrames",
]

_NEEDS_PYAV = {
    "FileSource": "hermes_stream.video.sources.file",
    "open_source": "hermes_stream.video.sources.opening",
    "PushedFrames": "hermes_stream.video.sources.pushed",
    "Source": "hermes_stream.video.sources.source",
    "SourceEvent": "hermes_stream.video.sources.source",
    "SourceOptions": "hermes_stream.video.sources.options",
    "SourcePolicy": "hermes_stream.video.sources.policy",
    "SourceStats": "hermes_stream.video.sources.source",
    "write_video": "hermes_stream.video.writing",
}


def __getattr__(name: str) -> Any:
    """Load what needs PyAV on first use, so that a machine without it can still import the rest."""
    if name not in _NEEDS_PYAV:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_PYAV[name]), name)
