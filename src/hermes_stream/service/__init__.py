"""A running whole without HTTP: streams, questions, a record that lasts; see docs/service.md."""

from hermes_stream.errors import MissingPackageError

try:
    from hermes_stream.service.service import Service
except ModuleNotFoundError as error:
    if error.name is None or error.name.startswith("hermes_stream"):
        raise
    raise MissingPackageError(
        f"a service needs the package {error.name!r}; install it with: pip install 'hermes-stream[server]'"
    ) from error

from hermes_stream.service.live_answer import CitedMoment, LiveAnswer
from hermes_stream.service.settings import ServiceSettings, StreamSettings
from hermes_stream.service.status import (
    DropCounts,
    Health,
    PushReceipt,
    ServiceCapacity,
    SnapshotStatus,
    StreamStatus,
)

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
