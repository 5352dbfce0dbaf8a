"""Ray Serve's choice of a replica: the one that has the stream, else the one with fewest.

``RequestRouter`` is marked alpha in Ray; this is the one file that knows it. Run with Ray 2.60.0.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any, final

from ray.serve.request_router import PendingRequest, ReplicaID, ReplicaResult, RequestRouter, RunningReplica

_LATELY_SECONDS = 2.0
_MAX_LATELY = 1000


@final
class StreamRouter(RequestRouter):  # type: ignore[misc]
    """Prefers the replica whose ``routing_stats`` list the stream that a call names first."""

    def initialize_state(self, **_: Any) -> None:
        """Begin with no call routed lately."""
        self._lately: deque[tuple[float, ReplicaID]] = deque(maxlen=_MAX_LATELY)

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: ReplicaResult
    ) -> None:
        """Note who is about to have one stream more: its stats say so a second later."""
        del result
        if stream_of(pending_request.args, pending_request.kwargs) is not None:
            self._lately.append((time.monotonic(), replica_id))

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return replicas, each rank behind the one before."""
        stream = None if pending_request is None else stream_of(pending_request.args, pending_request.kwargs)
        since = time.monotonic() - _LATELY_SECONDS
        coming = Counter(replica for at, replica in self._lately if at > since)
        stats = [
            {
                **one.routing_stats,
                "num_streams": one.routing_stats.get("num_streams", 0) + coming[one.replica_id],
            }
            for one in candidate_replicas
        ]
        ranked = rank(stats, stream)
        return [[candidate_replicas[place] for place in places] for places in ranked]


def stream_of(args: Any, kwargs: Any) -> str | None:
    """Return the stream that a call names."""
    first = args[0] if args else kwargs.get("stream")
    return first if isinstance(first, str) else None


def rank(stats: list[dict[str, Any]], stream: str | None) -> list[list[int]]:
    """Return the places of replicas in ranks: who has the stream, then who has fewest and room, then others.

    Args:
        stats: what each replica says of itself; empty before it said anything.
        stream: name of the stream; None for any.
    """
    having = [place for place, one in enumerate(stats) if stream in one.get("streams", ())]
    able = [
        place for place, one in enumerate(stats) if one.get("more_streams", 1) > 0 and place not in having
    ]
    full = [place for place in range(len(stats)) if place not in (*having, *able)]
    ranks = [having]
    for count in sorted({stats[place].get("num_streams", 0) for place in able}):
        ranks.append([place for place in able if stats[place].get("num_streams", 0) == count])
    return [places for places in (*ranks, full) if places]
