"""A running whole without HTTP: streams, questions, a record that lasts; see docs/service.md."""

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
