"""A follower of events over many lives of a server, and what it says beside the record."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise
from threading import Thread
from typing import Any

from hermes_stream.client import Client
from hermes_stream.client.values import EventValue
from hermes_stream.errors import HermesError

_PAGE = 1000
_CATCH_UP_SECONDS = 30.0


class Follower:
    """Follows all events from the first on, with ``Last-Event-ID`` wherever the connection was lost.

    Args:
        url: of the server, which may come and go.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.events: list[EventValue] = []
        self.failure: str | None = None
        self._thread = Thread(target=self._run, name="following", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with Client(self._url, timeout_seconds=30.0) as client:
                for event in client.follow(after=0):
                    self.events.append(event)
        except HermesError as error:
            self.failure = str(error)

    def wait_for(self, number: int) -> bool:
        """Wait until an event has come; False where it does not in time."""
        deadline = time.monotonic() + _CATCH_UP_SECONDS
        while not (self.events and self.events[-1].id >= number):
            if time.monotonic() > deadline or self.failure is not None:
                return False
            time.sleep(0.05)
        return True


def recorded_events(client: Client) -> list[EventValue]:
    """Return all events of the record, oldest first."""
    found: list[EventValue] = []
    while page := client.events(after=found[-1].id if found else 0, limit=_PAGE):
        found += page
    return found


def compare_events(followed: list[EventValue], recorded: list[EventValue]) -> dict[str, Any]:
    """Compare what a follower saw with the record; return numbers for the record of the run.

    Args:
        followed: events as they came.
        recorded: those of the record, up to the newest that was followed.
    """
    seen = Counter(event.id for event in followed)
    known = {event.id: event for event in recorded}
    kinds = Counter(event.kind for event in recorded)
    # what may happen once in an epoch of a stream, or for a question whose text is its own
    once = Counter(
        (event.kind, event.stream, event.payload.get("question") or event.epoch)
        for event in recorded
        if event.kind in ("stream_opened", "stream_restored", "answered")
    )
    return {
        "num_events": len(recorded),
        "num_events_of_kind": dict(kinds),
        "num_followed_events": len(followed),
        "num_missed_events": sum(number not in seen for number in known),
        "num_doubled_events": sum(count - 1 for count in seen.values()),
        "num_events_out_of_order": sum(a.id >= b.id for a, b in pairwise(followed)),
        "num_lost_committed_events": sum(number not in known for number in seen),
        "num_changed_events": sum(
            event.id in known and _content(known[event.id]) != _content(event) for event in followed
        ),
        "num_recorded_twice": sum(count - 1 for count in once.values()),
    }


def _content(event: EventValue) -> tuple[Any, ...]:
    return event.kind, event.stream, event.epoch, event.wall_seconds, event.pts_seconds, event.payload
