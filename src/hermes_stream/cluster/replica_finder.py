"""Where a request goes: to the replica that has its stream, as the record says; remembered for a moment."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from hermes_stream.errors import NotOwnerError, OverloadedError
from hermes_stream.service.ownership.placement import least_loaded
from hermes_stream.service.ownership.replica_rows import Owner, ReplicaRow, ReplicaRows

_REMEMBERED_SECONDS = 1.0
_MAX_REMEMBERED = 10_000
_RETRY_SECONDS = 1.0
Place = Callable[[str], Awaitable[str]]
"""Returns the address of the replica that a new stream is to be opened at."""


class ReplicaFinder:
    """Finds replicas for one event loop.

    Args:
        rows: of the record.
        place: chooses who opens a new stream; None takes the one with fewest, as the record says.
    """

    def __init__(self, rows: ReplicaRows, place: Place | None = None) -> None:
        self._rows, self._place = rows, place
        self._owners: OrderedDict[str, tuple[float, ReplicaRow]] = OrderedDict()
        self._replicas: tuple[float, tuple[ReplicaRow, ...]] = (-float("inf"), ())
        self._gone: dict[str, float] = {}

    async def replicas(self) -> tuple[ReplicaRow, ...]:
        """Return the replicas that live."""
        read_at, known = self._replicas
        if time.monotonic() - read_at > _REMEMBERED_SECONDS:
            found = await asyncio.to_thread(self._rows.all)
            since = time.monotonic() - self._rows.lease_seconds
            self._gone = {address: at for address, at in self._gone.items() if at > since}
            known = tuple(one for one in found if one.is_alive and one.address not in self._gone)
            self._replicas = (time.monotonic(), known)
        return known

    async def unowned(self) -> tuple[str, ...]:
        """Return the names of open streams that nobody has at the moment."""
        return await asyncio.to_thread(self._rows.unowned)

    async def owner(self, stream: str) -> ReplicaRow | None:
        """Return who has a stream; None where there is none such, or a closed one.

        Raises:
            NotOwnerError: it is open, and nobody has it at the moment.
        """
        if stream in self._owners:
            read_at, replica = self._owners[stream]
            if time.monotonic() - read_at < _REMEMBERED_SECONDS:
                return replica
        owner: Owner | None = await asyncio.to_thread(self._rows.owner_of, stream)
        if owner is None or owner.state != "open":
            self._owners.pop(stream, None)
            return None
        if owner.replica is None:
            self._owners.pop(stream, None)
            raise NotOwnerError(f"stream {stream!r} is on its way to another replica; try again")
        self._owners[stream] = (time.monotonic(), owner.replica)
        self._owners.move_to_end(stream)
        while len(self._owners) > _MAX_REMEMBERED:
            self._owners.popitem(last=False)
        return owner.replica

    def forget(self, stream: str | None, address: str) -> None:
        """Ask the record again, as what it said last was wrong.

        Args:
            stream: whose owner is another by now.
            address: that did not answer; the record knows later that it is gone.
        """
        if stream is None:
            self._gone[address] = time.monotonic()
        self._replicas = (-float("inf"), ())
        if stream is not None:
            self._owners.pop(stream, None)

    async def any(self, stream: str | None = None) -> str:
        """Return the address of a replica that takes new work.

        Args:
            stream: the name of one that is to be opened.

        Raises:
            OverloadedError: none lives.
        """
        if stream is not None and self._place is not None:
            try:
                return await self._place(stream)
            except Exception:
                pass
        alive = await self.replicas()
        able = [one for one in alive if one.state == "live"] or alive
        if not able:
            raise OverloadedError("no replica lives; try again", retry_after_seconds=_RETRY_SECONDS)
        best = least_loaded([one.load for one in able])
        # where all are full the first one says so, with its own words
        return next((one.address for one in able if best is not None and one.id == best.id), able[0].address)
