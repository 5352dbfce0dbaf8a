"""A running whole without HTTP: streams with their sources, questions at any moment, a record that lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from hermes_stream.models.base import VideoModel
from hermes_stream.service.events import Event
from hermes_stream.service.live_answer import LiveAnswer
from hermes_stream.service.settings import ServiceSettings
from hermes_stream.service.status import (
    Health,
    PushReceipt,
    RememberedMoments,
    ServiceCapacity,
    SnapshotStatus,
    StreamStatus,
)
from hermes_stream.video.frame import Frame


class Service:
    """Streams with their sources, on one engine in a thread of its own; any thread may call."""

    def __init__(
        self, model: VideoModel | str | Path, data_dir: Path | str, *, settings: ServiceSettings | None = None
    ) -> None:
        raise NotImplementedError
