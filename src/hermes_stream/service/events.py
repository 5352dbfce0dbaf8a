"""Events: what happened to a stream at a time, as it is kept and told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlalchemy import Connection

EventKind = Literal[
    "service_started",
    "service_stopped",
    "engine_failed",
    "stream_opened",
    "stream_restored",
    "stream_released",
    "memory_lost",
    "stream_closed",
    "stream_deleted",
    "stream_renamed",
    "policy_changed",
    "source_state",
    "gap",
    "frames_dropped",
    "answered",
    "snapshot_saved",
    "snapshot_failed",
    "retention",
    "alert_raised",
    "alert_cleared",
    "incident_updated",
    "state_changed",
    "count_rose",
    "described",
    "watch_failed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event that is to be recorded.

    Attributes:
        kind: what happened.
        stream_id: number of the stream; None for what concerns the whole service.
        epoch: of the stream then.
        pts_seconds: when, in seconds of the stream; None where it has no time there.
        wall_seconds: when, seconds since 1970.
        payload: what else there is to say, as JSON values; never a password.
        picture: path of a picture within the folder of pictures.
        along: a change of the record that is made in the same commit: both last, or neither.
    """

    kind: EventKind | str
    stream_id: int | None = None
    epoch: int | None = None
    pts_seconds: float | None = None
    wall_seconds: float
    payload: Mapping[str, Any] = field(default_factory=dict)
    picture: str | None = None
    along: Callable[[Connection], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as it is recorded; see ``NewEvent``.

    Attributes:
        id: grows with every event, and is never given again.
        kind: what happened.
        stream: name of the stream, as it is now; None for what concerns the whole service.
        epoch: of the stream then.
        pts_seconds: when, in seconds of the stream.
        wall_seconds: when, seconds since 1970.
        payload: what else there is to say.
        picture: path of a picture within the folder of pictures.
    """

    id: int
    kind: str
    stream: str | None
    epoch: int | None
    pts_seconds: float | None
    wall_seconds: float
    payload: Mapping[str, Any]
    picture: str | None
