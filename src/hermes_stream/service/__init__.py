"""A running whole without HTTP: streams, questions, a record that lasts; see docs/service.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hermes_stream.errors import MissingPackageError

if TYPE_CHECKING:
    from hermes_stream.service.live_answer import CitedMoment, LiveAnswer
    from hermes_stream.service.service import Service
    from hermes_stream.service.settings import ServiceSettings, StreamSettings
    from hermes_stream.service.status import (
        DropCounts,
        Health,
        PushReceipt,
        ServiceCapacity,
        SnapshotStatus,
        StreamStatus,
    )

_HOMES = {
    "service": ("Service",),
    "settings": ("ServiceSettings", "StreamSettings"),
    "live_answer": ("LiveAnswer", "CitedMoment"),
    "status": (
        "StreamStatus",
        "DropCounts",
        "PushReceipt",
        "SnapshotStatus",
        "ServiceCapacity",
        "Health",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Service",
    "ServiceSettings",
    "StreamSettings",
    "LiveAnswer",
    "CitedMoment",
    "StreamStatus",
    "DropCounts",
    "PushReceipt",
    "SnapshotStatus",
    "ServiceCapacity",
    "Health",
]


def __getattr__(name: str) -> Any:
    """Load a name on first use, so that options are known without torch and without the extra ``server``."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hermes_stream"):
            raise
        raise MissingPackageError(
            f"a service needs the package {error.name!r}; install: pip install 'hermes-stream[server]'"
        ) from error
