"""Ownership at a size that no machine here holds: 10,000 fake streams on 200 fake replicas, hour by hour.

Who claims what is decided by the code that replicas run (``placement``); the record, its clock and its
locks, signs of life and leases are modelled as ``replica_rows`` and ``membership`` have them. Replicas die,
freeze and come back, join, drain, and the record is out of reach, at random and the same for the same seed.
Whenever a replica begins to answer for a stream, or goes on after a freeze, it is checked that no other
believes to have it; how long streams have nobody is measured.
Exits 1 where a stream had two, or none for longer than the bound.

    python -m hermes_lab.stress.cluster_simulation --seed 0 --out results/cluster_simulation.json
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from hermes_lab.stress.record import write_record
from hermes_stream.service.ownership.placement import Load, num_to_claim

_BEAT_SECONDS, _LEASE_SECONDS, _PLACE_SECONDS = 1.0, 5.0, 0.5
_ROOM = 256


@dataclass(slots=True)
class _Replica:
    """A replica, as it is and as it believes to be."""

    id: int
    phase: float
    confirmed_at: float
    seen_at: float
    is_running: bool = True
    is_dead: bool = False
    is_draining: bool = False
    streams: set[int] = field(default_factory=set)  # that it serves
    recorded: set[int] = field(default_factory=set)  # that are its own by the record
    missing: dict[int, float] = field(default_factory=dict)
    busy_until: float = 0.0
    in_touch_since: float = 0.0

    def believes(self, now: float, seconds: float) -> bool:
        """Tell whether it takes questions, where a sign of life is good for so long."""
        return self.is_running and not self.is_dead and now - self.confirmed_at < seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often things happen, in seconds from one to the next, on average over all replicas."""

    death: float = 60.0
    freeze: float = 45.0
    join: float = 60.0
    drain: float = 300.0
    outage: float = 900.0
    frozen: float = 8.0
    out: float = 6.0


@final
class Simulation:
    """Streams, replicas and a record, with a clock of its own.

    Args:
        num_streams: fake streams.
        num_replicas: fake replicas, at the beginning and again after each loss.
        seed: of all that happens.
        restore_seconds: what a replica needs to open one stream, one after the other.
        rates: how often things happen.
        believed_seconds: how long a replica believes a sign of life to be good; longer than the record
            does, and streams have two owners.
    """

    def __init__(
        self,
        num_streams: int,
        num_replicas: int,
        *,
        seed: int,
        restore_seconds: float,
        rates: Rates,
        believed_seconds: float = _LEASE_SECONDS,
    ) -> None:
        self._believed_seconds = believed_seconds
        self._random, self._rates, self._restore_seconds = random.Random(seed), rates, restore_seconds
        self.now, self._order = 0.0, itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._ids = itertools.count(1)
        self.replicas: dict[int, _Replica] = {}
        self.owner: list[int | None] = [None] * num_streams
        self.epoch = [0] * num_streams
        self._unowned = set(range(num_streams))
        self._server: list[int | None] = [None] * num_streams
        self._alone_since: list[float | None] = [0.0] * num_streams
        self._record_back_at = 0.0
        self.gaps: list[tuple[float, float]] = []
        self.counts = dict.fromkeys(
            ("moves", "moves_from_living", "two_owners", "deaths", "freezes", "joins", "drains", "outages"), 0
        )
        for _ in range(num_replicas):
            self._join(is_new=False)
        for name in ("death", "freeze", "join", "drain", "outage"):
            self._again(name)

    def run(self, seconds: float) -> None:
        """Let time go by."""
        while self._queue and self._queue[0][0] <= seconds:
            self.now, _, act = heapq.heappop(self._queue)
            act()
        self.now = seconds

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), act))

    def _again(self, name: str) -> None:
        """Let something happen again, some time."""

        def act() -> None:
            getattr(self, f"_{name}")()
            self._again(name)

        self._at(self.now + self._random.expovariate(1 / getattr(self._rates, name)), act)

    @property
    def _is_out(self) -> bool:
        return self.now < self._record_back_at

    def _join(self, *, is_new: bool = True) -> None:
        if is_new:
            self.counts["joins"] += 1
        phase = self._random.random()
        one = _Replica(
            id=next(self._ids),
            phase=phase,
            confirmed_at=self.now,
            seen_at=self.now,
            in_touch_since=self.now,
        )
        self.replicas[one.id] = one
        self._at(self.now + phase * _BEAT_SECONDS, lambda: self._beat(one))
        self._at(self.now + phase * _PLACE_SECONDS, lambda: self._place(one))

    def _running(self) -> list[_Replica]:
        return [one for one in self.replicas.values() if one.is_running and not one.is_dead]

    def _death(self) -> None:
        self.counts["deaths"] += 1
        one = self._random.choice(self._running())
        one.is_dead = True
        self._stop_serving(one, set(one.streams))
        self._at(self.now + self._random.uniform(5, 60), self._join)  # begun again by its supervisor

    def _freeze(self) -> None:
        self.counts["freezes"] += 1
        one = self._random.choice(self._running())
        one.is_running = False
        for stream in one.streams:
            self._lose_server(stream, one)
        self._at(self.now + self._random.expovariate(1 / self._rates.frozen), lambda: self._thaw(one))

    def _thaw(self, one: _Replica) -> None:
        """Go on as if nothing had happened: what it has is its own for as long as its lease says."""
        one.is_running = True
        if one.believes(self.now, self._believed_seconds):
            for stream in one.streams:
                self._serve(stream, one)

    def _drain(self) -> None:
        self.counts["drains"] += 1
        self._random.choice(self._running()).is_draining = True
        self._at(self.now + 30.0, self._join)

    def _outage(self) -> None:
        self.counts["outages"] += 1
        self._record_back_at = self.now + self._random.expovariate(1 / self._rates.out)

    def _beat(self, one: _Replica) -> None:
        """Give a sign of life, as ``Membership`` does."""
        if one.is_dead:
            return
        self._at(self.now + _BEAT_SECONDS, lambda: self._beat(one))
        if not one.is_running:
            return
        if not one.believes(self.now, self._believed_seconds):
            self._stop_serving(one, set(one.streams))
        if not self._is_out:
            if self.now - one.confirmed_at >= _LEASE_SECONDS:
                one.in_touch_since = self.now
            one.seen_at = one.confirmed_at = self.now
            self._stop_serving(one, one.streams - one.recorded)
            one.missing = {stream: one.missing.get(stream, self.now) for stream in one.recorded - one.streams}

    def _place(self, one: _Replica) -> None:
        """Give back and take, as ``Membership`` does."""
        if one.is_dead:
            return
        self._at(self.now + _PLACE_SECONDS, lambda: self._place(one))
        if not one.believes(self.now, self._believed_seconds) or self._is_out or self.now < one.busy_until:
            return
        if one.is_draining:
            for stream in list(one.recorded):
                self._stop_serving(one, {stream})
                self._release(stream, one)
            one.is_dead = True
            return
        one.busy_until = self.now
        for stream, since in list(one.missing.items()):
            if self.now - since > _LEASE_SECONDS and stream in one.recorded - one.streams:
                self._take(stream, one)
        if self.now - one.in_touch_since >= _LEASE_SECONDS:
            self._claim(one)

    def _claim(self, one: _Replica) -> None:
        gone = [other for other in self.replicas.values() if self.now - other.seen_at > _LEASE_SECONDS]
        orphans = sorted(self._unowned.union(*(other.recorded for other in gone)))
        if not orphans:
            return
        alive = [other for other in self.replicas.values() if self.now - other.seen_at <= _LEASE_SECONDS]
        able = [other for other in alive if not other.is_draining]
        loads = [
            Load(id=other.id, num_streams=len(other.recorded), more_streams=_ROOM - len(other.recorded))
            for other in able
        ]
        number = num_to_claim(loads, one.id, len(orphans))
        if number == 0:
            return
        first = sorted(load.id for load in loads).index(one.id) * len(orphans) // len(loads)
        for stream in [*orphans[first:], *orphans[:first]][:number]:
            self._take(stream, one)

    def _take(self, stream: int, one: _Replica) -> None:
        before = self.owner[stream]
        if before is not None and before != one.id:
            former = self.replicas[before]
            self.counts["moves_from_living"] += former.believes(self.now, self._believed_seconds)
            former.recorded.discard(stream)
            self.counts["moves"] += 1
        self._unowned.discard(stream)
        self.owner[stream], self.epoch[stream] = one.id, self.epoch[stream] + 1
        one.recorded.add(stream)
        epoch, one.busy_until = self.epoch[stream], one.busy_until + self._restore_seconds
        self._at(one.busy_until, lambda: self._opened(stream, epoch, one))

    def _opened(self, stream: int, epoch: int, one: _Replica) -> None:
        if one.is_dead or self.epoch[stream] != epoch or stream not in one.recorded:
            return
        one.streams.add(stream)
        if one.believes(self.now, self._believed_seconds):
            self._serve(stream, one)

    def _release(self, stream: int, one: _Replica) -> None:
        self.counts["moves_from_living"] += stream in one.streams
        one.recorded.discard(stream)
        self.owner[stream] = None
        self._unowned.add(stream)
        self.counts["moves"] += 1

    def _stop_serving(self, one: _Replica, streams: set[int]) -> None:
        for stream in streams:
            one.streams.discard(stream)
            self._lose_server(stream, one)

    def _serve(self, stream: int, one: _Replica) -> None:
        """Note that a replica answers for a stream; whoever else believes to, too, is a second owner."""
        others = [other for other in self.replicas.values() if other is not one and stream in other.streams]
        self.counts["two_owners"] += sum(other.believes(self.now, self._believed_seconds) for other in others)
        since = self._alone_since[stream]
        if since is not None:
            self.gaps.append((self.now, self.now - since))
        self._server[stream], self._alone_since[stream] = one.id, None

    def _lose_server(self, stream: int, one: _Replica) -> None:
        if self._server[stream] == one.id:
            self._server[stream], self._alone_since[stream] = None, self.now


def summary(simulation: Simulation, *, first_seconds: float) -> dict[str, Any]:
    """Return what is measured; the beginning, when all streams are placed, is told apart."""
    later = sorted(gap for at, gap in simulation.gaps if at > first_seconds)
    open_gaps = [simulation.now - since for since in simulation._alone_since if since is not None]
    carried = sorted(len(one.recorded) for one in simulation._running() if not one.is_draining)
    return {
        **{f"num_{name}": count for name, count in simulation.counts.items()},
        "num_gaps": len(later),
        "median_gap_seconds": statistics.median(later) if later else 0.0,
        "p99_gap_seconds": later[int(0.99 * (len(later) - 1))] if later else 0.0,
        "max_gap_seconds": max([*later, *open_gaps], default=0.0),
        "num_without_owner_at_end": len(open_gaps),
        "num_replicas_at_end": len(carried),
        "fewest_streams_of_a_replica": carried[0],
        "most_streams_of_a_replica": carried[-1],
    }


def main() -> int:
    """Let hours go by; exit 1 where a stream had two owners, or none for too long."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--restore-seconds", type=float, default=0.1)
    parser.add_argument("--bound-seconds", type=float, default=60.0, help="that a stream may have nobody")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    simulation = Simulation(
        given.streams,
        given.replicas,
        seed=given.seed,
        restore_seconds=given.restore_seconds,
        rates=Rates(),
    )
    simulation.run(given.seconds)
    numbers = summary(simulation, first_seconds=30.0)
    is_right = (
        not (numbers["num_two_owners"] or numbers["num_moves_from_living"])
        and numbers["max_gap_seconds"] <= given.bound_seconds
    )
    about = {name: value for name, value in vars(given).items() if name != "out"}
    write_record(given.out, "cluster_simulation", {**about, **numbers, "is_right": is_right})
    return 0 if is_right else 1


if __name__ == "__main__":
    raise SystemExit(main())
