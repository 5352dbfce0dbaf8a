"""One of several services on one record: gives signs of life, takes streams that nobody has.

A thread of its own gives the signs; as soon as the newest one that the record confirmed is too old, the
streams are no longer this service's, whatever it was doing meanwhile: no question is taken and no answer goes
on. Placing, which takes longer, has another thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event as Flag
from threading import Lock, Thread
from typing import Protocol

from hermes_stream.errors import HermesError, NotOwnerError
from hermes_stream.service.ownership.placement import Load, num_to_claim
from hermes_stream.service.ownership.replica_rows import Holding, ReplicaRows
from hermes_stream.service.store import Store
from hermes_stream.service.stream_rows import StreamRow

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2


class Tenancy(Protocol):
    """The streams of a service, as its membership sees them."""

    def own_epochs(self) -> dict[int, int]:
        """Return the epochs of the streams that it has, by number."""

    def adopt(self, row: StreamRow) -> None:
        """Open a stream that was taken, from disk."""

    def give_back(self, stream_id: int) -> bool:
        """Save a stream and close it here; tell whether there was one."""

    def drop(self, stream_ids: set[int], reason: str) -> None:
        """Close streams here without saving: they are others'."""

    def load(self) -> Load:
        """Return what it carries; may wait for the engine."""

    def is_sound(self) -> bool:
        """Tell whether its engine works; never waits."""


class Membership:
    """The part of a service that shares its record with others.

    Args:
        name: of this replica; no other that lives has it.
        address: where its server can be reached, ``http://host:port``.
        lease_seconds: how long its streams stay its own after a sign of life; the same for all replicas.

    Attributes:
        name: of this replica.
        num_taken: streams taken from others that were gone, or from nobody.
    """

    def __init__(self, name: str, address: str, *, lease_seconds: float = 5.0) -> None:
        if not 0 < lease_seconds < float("inf"):
            raise ValueError(f"lease_seconds must be a positive number of seconds, got {lease_seconds}")
        self.name, self.address, self._lease_seconds = name, address, lease_seconds
        self.num_taken = 0
        self._stop = Flag()
        self._placing = Lock()
        self._confirmed_at = self._in_touch_since = -float("inf")
        self._holding = Holding(state="live", epochs={}, wanted={})
        self._threads: list[Thread] = []
        self._missing: dict[int, float] = {}
        self._load = Load(id=0, num_streams=0, more_streams=0)

    def join(self, store: Store, model: str) -> None:
        """Enter the record; from now on it knows this replica.

        Raises:
            StoreError: another one of the name lives.
        """
        self._store, self._model_name = store, model
        self._rows = ReplicaRows(store.database, lease_seconds=self._lease_seconds)
        sent = time.monotonic()
        self.id = self._rows.join(self.name, self.address, model)
        store.database.write_as(self.id, lease_seconds=self._lease_seconds)
        self._confirmed_at = self._in_touch_since = sent
        self._load = Load(id=self.id, num_streams=0, more_streams=0)

    def start(self, tenancy: Tenancy) -> None:
        """Begin to take streams."""
        self._tenancy = tenancy
        for run, pause in ((self._beat, self._lease_seconds / 5), (self._look, _LOOK_SECONDS)):
            self._start(run, pause)
        self._start(self._place, min(0.5, self._lease_seconds / 5))

    def _start(self, work: Callable[[], None], pause_seconds: float) -> None:
        def run() -> None:
            while not self._stop.wait(pause_seconds):
                try:
                    work()
                except HermesError as error:
                    log.warning("replica %s: %s", self.name, error)
                except Exception:
                    log.exception("replica %s", self.name)

        thread = Thread(target=run, name=f"hermes-{work.__name__.strip('_')}", daemon=True)
        thread.start()
        self._threads.append(thread)

    @property
    def is_current(self) -> bool:
        """Whether what this replica has is still its own; false as soon as it may be another's."""
        return time.monotonic() - self._confirmed_at < self._lease_seconds

    def is_first(self) -> bool:
        """Tell whether this replica does what one of all does: the one that has been there longest.

        Raises:
            StoreError: the record cannot be read.
        """
        return self.is_current and self.id == min(one.id for one in self._rows.all() if one.is_alive)

    def check(self) -> None:
        """Check that what this replica has is still its own.

        Raises:
            NotOwnerError: it may be another's by now.
        """
        if not self.is_current:
            raise NotOwnerError(
                f"replica {self.name} has not reached the record for {self._lease_seconds:g} s, so that its "
                "streams may be others' by now; try again"
            )

    def _beat(self) -> None:
        if not self.is_current:
            self._lose_all("the record could not be reached, and others may have taken the stream; ask again")
        if not self._tenancy.is_sound():
            return  # its streams are better off with others
        sent = time.monotonic()
        before = self._tenancy.own_epochs()
        holding = self._rows.beat(self._load)
        if holding is None:
            self._lose_all("this replica was taken out of the record; ask again")
            self.join(self._store, self._model_name)
            return
        if not self.is_current:
            self._in_touch_since = sent
        self._confirmed_at, self._holding = sent, holding
        # an epoch that is newer here was begun here, and is on its way to the record
        gone = {one for one, epoch in before.items() if holding.epochs.get(one, epoch + 1) > epoch}
        still_here = self._tenancy.own_epochs()
        lost = {one for one in gone if still_here.get(one) == before[one]}
        if lost:
            self._tenancy.drop(lost, "another replica has taken the stream; ask again")

    def _lose_all(self, reason: str) -> None:
        if own := self._tenancy.own_epochs():
            log.error("replica %s gives up its %d streams: %s", self.name, len(own), reason)
            self._tenancy.drop(set(own), reason)

    def _look(self) -> None:
        self._store.writer.look()

    def _place(self) -> None:
        """Give back what others are to have, and take what nobody has."""
        with self._placing:
            self._load = self._tenancy.load()
            holding = self._holding
            if holding.state == "draining":
                self._give_back_all()
                return
            for stream_id, wanted in holding.wanted.items():
                if wanted != self.name:
                    self._give_back(stream_id)
            self._open_missing(holding)
            self._claim()

    def _open_missing(self, holding: Holding) -> None:
        """Open again what is this replica's by the record, and was closed here when its lease was over."""
        here, now = self._tenancy.own_epochs(), time.monotonic()
        self._missing = {one: self._missing.get(one, now) for one in holding.epochs if one not in here}
        # by then it is not about to be opened
        due = [one for one, since in self._missing.items() if now - since > self._lease_seconds]
        if due and self.is_current:
            self._adopt(due, again=True)

    def _claim(self) -> None:
        if not self.is_current:
            return
        found = self._rows.orphans(self.name)
        if found.wanted:
            self._adopt(found.wanted[: self._load.more_streams])
        if not (orphans := found.free) or time.monotonic() - self._in_touch_since < self._lease_seconds:
            return  # where the record was out of reach, all seem to be gone until they have told otherwise
        loads = [one.load for one in self._rows.all() if one.is_alive and one.state == "live"]
        own = [self._load if load.id == self.id else load for load in loads]
        number = num_to_claim(own, self.id, len(orphans))
        if number == 0:
            return
        # each begins at another place of the list, so that they do not all reach for the same
        first = sorted(load.id for load in own).index(self.id) * len(orphans) // len(own)
        chosen = [*orphans[first:], *orphans[:first]][:number]
        self._adopt(chosen)

    def _adopt(self, streams: Sequence[int], *, again: bool = False) -> None:
        for row in self._rows.take(streams, self.id, again=again):
            self.num_taken += not again
            self._tenancy.adopt(StreamRow(**row._mapping))

    def _give_back_all(self) -> None:
        for stream_id in self._tenancy.own_epochs():
            if self.is_current:
                self._give_back(stream_id)

    def _give_back(self, stream_id: int) -> None:
        if self._tenancy.give_back(stream_id):
            # what was told of the stream goes into the record first: of its next owner's time, it is refused
            self._store.writer.write(lambda _: None)
            self._rows.release(stream_id, self.id)

    def drain(self) -> None:
        """Give all streams back, and take no more."""
        with self._placing:
            self._holding = Holding(state="draining", epochs={}, wanted={})
            self._rows.set_state(self.name, "draining")
            self._give_back_all()

    def withdraw(self) -> None:
        """Let streams go on at other replicas, with all that they remember, and take no more."""
        try:
            self.drain()
        except HermesError as error:
            log.warning("streams could not be given back; others take them soon: %s", error)
        self.stop()

    def stop(self) -> None:
        """Take no more streams; safe to repeat."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def leave(self) -> None:
        """Leave the record: what this replica still has is nobody's."""
        self._store.database.replica_id = None
        self._rows.leave(self.id)
