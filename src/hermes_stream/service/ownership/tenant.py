"""The streams of a running service, as its membership sees them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hermes_stream.errors import HermesError
from hermes_stream.service.ownership.placement import Load
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.status import Health, ServiceCapacity
from hermes_stream.service.stream_registry import StreamRegistry
from hermes_stream.service.stream_rows import StreamRow

log = logging.getLogger(__name__)
_FLUSH_SECONDS = 15.0


class Tenant:
    """Opens and closes streams of a registry for ``Membership``.

    Args:
        registry: the streams.
        replica_id: number of this replica.
        capacity: returns how much fits.
        health: returns whether the engine works; never waits.
    """

    def __init__(
        self,
        registry: StreamRegistry,
        *,
        replica_id: int,
        capacity: Callable[[], ServiceCapacity],
        health: Callable[[], Health],
    ) -> None:
        self._registry, self._replica_id = registry, replica_id
        self._capacity, self._health = capacity, health

    def own_epochs(self) -> dict[int, int]:
        """Return the epochs of the streams that it has, by number."""
        return {one.row.id: one.row.epoch for one in self._recorded()}

    def adopt(self, row: StreamRow) -> None:
        """Open a stream that was taken, from disk."""
        try:
            self._registry.adopt(row)
        except Exception:
            log.exception("stream %s was taken and cannot be opened", row.name)

    def give_back(self, stream_id: int) -> bool:
        """Save a stream and close it here; tell whether there was one."""
        for served in self._recorded():
            if served.row.id == stream_id:
                self._registry.release(served, "the stream goes on at another replica; ask again", saves=True)
                if served.disk is not None and not served.disk.flush(_FLUSH_SECONDS):
                    log.warning("stream %s goes on with less than it has: not all was sent", served.row.name)
                served.tell("stream_released", pts_seconds=served.ring.counts.newest_seconds)
                return True
        return False

    def drop(self, stream_ids: set[int], reason: str) -> None:
        """Close streams here without saving: they are others'."""
        for served in self._recorded():
            if served.row.id in stream_ids:
                try:
                    self._registry.release(served, reason, saves=False)
                except HermesError as error:
                    log.warning("stream %s: %s", served.row.name, error)

    def load(self) -> Load:
        """Return what it carries; may wait for the engine."""
        capacity = self._capacity()
        return Load(
            id=self._replica_id,
            num_streams=capacity.num_streams,
            more_streams=capacity.more_streams,
            used_bytes=capacity.used_bytes,
        )

    def is_sound(self) -> bool:
        """Tell whether its engine works; never waits."""
        return self._health().is_live

    def _recorded(self) -> list[ServedStream]:
        return [one for one in self._registry.all() if not one.row.is_temporary]
