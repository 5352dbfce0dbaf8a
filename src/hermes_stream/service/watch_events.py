"""From what a watch noticed to what is recorded: the event, its incident, and the watch's own state."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from hermes_stream.service import incidents
from hermes_stream.service.events import NewEvent
from hermes_stream.service.texts import storable
from hermes_stream.service.watch_rows import WatchRow, keep_state
from hermes_stream.service.watch_settings import WatchSettings
from hermes_stream.stream.watches import WatchEvent

KIND_OF = {
    "raised": "alert_raised",
    "cleared": "alert_cleared",
    "changed": "state_changed",
    "counted": "count_rose",
    "described": "described",
}
"""Kind of the record's event, by what a watch noticed."""
WATCH_KINDS = (*KIND_OF.values(), "incident_updated")
"""Kinds of events that are worth telling outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """What a watch noticed, and where.

    Attributes:
        event: of the watch.
        row: of the watch.
        settings: of the watch.
        state: of the watch, which has told it.
        epoch: of the stream.
        picture: of the moment; None without.
        evidence: moments on which the answer rested, in seconds of the stream.
        reason: why an alert is over that no answer ended; None where one did.
    """

    event: WatchEvent
    row: WatchRow
    settings: WatchSettings
    state: Mapping[str, Any]
    epoch: int | None
    picture: str | None
    evidence: Sequence[float]
    reason: str | None = None

    @property
    def incident(self) -> str | None:
        """Id of the incident; None where it is none."""
        is_alert = self.event.kind in ("raised", "cleared")
        return incident_id(self.row.id, self.event.incident) if is_alert else None

    def as_event(self) -> NewEvent:
        """Return what is recorded: event, incident and state of the watch in one commit.

        So nothing is told twice: a watch that is restored knows all that was recorded.
        """
        event, now = self.event, time.time()

        def along(connection: Connection) -> None:
            keep_state(connection, self.row.id, self.state, self.epoch)
            if event.kind == "raised":
                self._open_incident(connection, now)
            elif event.kind == "cleared":
                end = {"status": "ended", "ended_seconds": event.stream_seconds, "ended_wall_seconds": now}
                end = {**end, "epoch": self.epoch}
                incidents.change(connection, incident_id(self.row.id, event.incident), end)

        return NewEvent(
            kind=KIND_OF[event.kind],
            stream_id=self.row.stream_id,
            epoch=self.epoch,
            pts_seconds=event.stream_seconds,
            wall_seconds=now,
            payload=self._payload(),
            picture=self.picture,
            along=along,
        )

    def _payload(self) -> dict[str, Any]:
        event = self.event
        told: dict[str, Any] = {
            "watch": self.row.id,
            "name": self.row.name,
            "question": event.question,
            "value": event.value,
            "value_before": event.value_before,
            "score": event.score,
            "since_seconds": event.since_seconds,
            "incident": self.incident,
            "severity": self.settings.severity,
            "evidence": list(self.evidence),
        }
        # nobody asked again, so that there is no answer
        return told if self.reason is None else {**told, "value": None, "reason": self.reason}

    def _open_incident(self, connection: Connection, now: float) -> None:
        event, picture = self.event, self.picture
        shown = [] if picture is None else [{"stream_seconds": event.stream_seconds, "picture": picture}]
        fields = {
            "stream_id": self.row.stream_id,
            "watch_id": self.row.id,
            "name": self.row.name,
            "question": storable(event.question),
            "severity": self.settings.severity,
            "started_seconds": event.since_seconds,
            "started_wall_seconds": now,
            "score": event.score,
            "pictures": shown,
            "evidence": list(self.evidence),
            "epoch": self.epoch,
        }
        incidents.begin(connection, incident_id(self.row.id, event.incident), fields)


def incident_id(watch_id: int, count: int) -> str:
    """Return what the incident of a watch is called everywhere."""
    return f"{watch_id}-{count}"
