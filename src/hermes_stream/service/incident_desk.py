"""Incidents for who uses a service: by the names of streams."""

from __future__ import annotations

from collections.abc import Sequence

from hermes_stream.service.incidents import Incident, IncidentLog, IncidentStatus, Severity
from hermes_stream.service.stream_registry import StreamRegistry


class IncidentDesk:
    """What alerts opened, read and reviewed. Threads may share it.

    Args:
        log: of the record.
        registry: the streams.
    """

    def __init__(self, log: IncidentLog, registry: StreamRegistry) -> None:
        self._log, self._registry = log, registry

    def read(
        self,
        *,
        stream: str | None = None,
        status: IncidentStatus | None = None,
        severities: Sequence[Severity] | None = None,
        since: float | None = None,
        until: float | None = None,
        is_reviewed: bool | None = None,
        key_id: int = 0,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[Incident, ...]:
        """Return incidents, the newest first; see ``IncidentLog.read``.

        Raises:
            UnknownStreamError: there is no such stream.
            UnknownIncidentError: there is no incident ``before``.
            ValueError: the limit is out of its range.
        """
        return self._log.read(
            stream_id=None if stream is None else self._registry.row(stream).id,
            status=status,
            severities=severities,
            since=since,
            until=until,
            is_reviewed=is_reviewed,
            key_id=key_id,
            before=before,
            limit=limit,
        )

    def find(self, incident_id: str, *, key_id: int = 0) -> Incident:
        """Return one incident.

        Raises:
            UnknownIncidentError: there is none.
        """
        return self._log.find(incident_id, key_id=key_id)

    def review(self, incident_id: str, is_reviewed: bool = True, *, key_id: int = 0) -> Incident:
        """Note that somebody has, or has not, reviewed an incident.

        Args:
            incident_id: of it.
            is_reviewed: whether it is.
            key_id: number of the key of who reviews; 0 where no keys are asked for.

        Raises:
            UnknownIncidentError: there is none.
            StoreError: it could not be written.
        """
        return self._log.review(incident_id, is_reviewed, key_id=key_id)
