"""Watch video as it streams in; answer questions about it at any moment, from a memory of constant size.

::

    from hermes_stream import FileSource, Session, load_model

    model = load_model("tiny")
    session = Session(model)
    session.observe(FileSource("clip.mp4", fps=model.card.default_fps))
    print(session.ask("what is on screen now?").text)

Names are loaded on first use, so that importing the package is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hermes_stream._version import __version__

if TYPE_CHECKING:
    from hermes_stream.errors import (
        AnnotationError,
        CapacityError,
        DeviceError,
        HermesError,
        MissingPackageError,
        ModelError,
        PluginError,
        SnapshotError,
        SourceRefusedError,
        UnknownFamilyError,
        VideoError,
    )
    from hermes_stream.models import VideoModel, load_model
    from hermes_stream.policies import POLICIES, FullPolicy, HermesPolicy, MemoryPolicy, WindowPolicy
    from hermes_stream.service import Service, ServiceSettings
    from hermes_stream.stream import (
        Answer,
        Engine,
        Evidence,
        Schedule,
        Session,
        SessionStats,
        Snapshot,
        StreamHandle,
        Watch,
        WatchEvent,
        WatchRules,
    )
    from hermes_stream.video import (
        FileSource,
        Frame,
        SourceOptions,
        open_source,
        sample_frames,
        write_video,
    )

_HOMES = {
    "models": ("load_model", "VideoModel"),
    "stream": (
        "Session",
        "Engine",
        "StreamHandle",
        "Answer",
        "Evidence",
        "SessionStats",
        "Snapshot",
        "Watch",
        "WatchEvent",
        "WatchRules",
        "Schedule",
    ),
    "service": ("Service", "ServiceSettings"),
    "policies": ("HermesPolicy", "FullPolicy", "WindowPolicy", "MemoryPolicy", "POLICIES"),
    "video": ("Frame", "FileSource", "SourceOptions", "open_source", "sample_frames", "write_video"),
    "errors": (
        "HermesError",
        "VideoError",
        "SourceRefusedError",
        "ModelError",
        "UnknownFamilyError",
        "DeviceError",
        "CapacityError",
        "SnapshotError",
        "AnnotationError",
        "PluginError",
        "MissingPackageError",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "load_model",
    "VideoModel",
    "Session",
    "Engine",
    "StreamHandle",
    "Answer",
    "Evidence",
    "SessionStats",
    "Snapshot",
    "Watch",
    "WatchEvent",
    "WatchRules",
    "Schedule",
    "Service",
    "ServiceSettings",
    "HermesPolicy",
    "FullPolicy",
    "WindowPolicy",
    "MemoryPolicy",
    "POLICIES",
    "Frame",
    "FileSource",
    "open_source",
    "SourceOptions",
    "sample_frames",
    "write_video",
    "HermesError",
    "VideoError",
    "SourceRefusedError",
    "ModelError",
    "UnknownFamilyError",
    "DeviceError",
    "CapacityError",
    "SnapshotError",
    "AnnotationError",
    "PluginError",
    "MissingPackageError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
