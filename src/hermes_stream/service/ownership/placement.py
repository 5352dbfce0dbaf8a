"""Who takes which streams: decided alike by everyone from the same table, so that nobody need be asked.

Plain values in, plain values out; the record decides who was first (``replica_rows``).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a replica carries.

    Attributes:
        id: number of the replica.
        num_streams: that it has.
        more_streams: that it can take.
        used_bytes: that their memories take.
    """

    id: int
    num_streams: int
    more_streams: int
    used_bytes: int = 0


def num_to_claim(loads: Sequence[Load], own: int, num_orphans: int) -> int:
    """Return how many of the streams that nobody has one replica takes.

    Each orphan goes to the replica that has fewest by then and has room; equal ones in order of their
    numbers. So all are taken at once where there is room, and nobody takes another's.

    Args:
        loads: of all replicas that live and take streams.
        own: number of the replica that asks.
        num_orphans: streams that nobody has.
    """
    room = {load.id: load.more_streams for load in loads if load.more_streams > 0}
    queue = [(load.num_streams, load.id) for load in loads if load.id in room]
    heapq.heapify(queue)
    claimed = 0
    for _ in range(num_orphans):
        if not queue:
            break
        num_streams, replica = heapq.heappop(queue)
        claimed += replica == own
        room[replica] -= 1
        if room[replica]:
            heapq.heappush(queue, (num_streams + 1, replica))
    return claimed


def least_loaded(loads: Sequence[Load]) -> Load | None:
    """Return who takes a new stream: the one with fewest streams that has room; None where nobody has."""
    able = [load for load in loads if load.more_streams > 0]
    return min(able, key=lambda load: (load.num_streams, load.used_bytes, load.id), default=None)


def num_replicas_wanted(
    loads: Sequence[Load], *, fewest: int, most: int, fill_share: float = 0.8, num_waiting: int = 0
) -> int:
    """Return how many replicas carry the streams that there are, by what each can hold.

    Args:
        loads: of the replicas that live.
        fewest: replicas, at least.
        most: replicas, at most.
        fill_share: how full a replica may be before another one is wanted, 0 to 1.
        num_waiting: streams that nobody has.
    """
    num_streams = sum(load.num_streams for load in loads) + num_waiting
    places = [load.num_streams + load.more_streams for load in loads]
    if not places or not sum(places):
        return max(fewest, min(most, len(loads) + 1)) if num_streams else fewest
    each = sum(places) / len(places)
    return max(fewest, min(most, math.ceil(num_streams / (each * fill_share))))
