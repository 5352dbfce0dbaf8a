"""What server-sent events of a service mean to a client: pieces of an answer, and events of the record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from httpx_sse import ServerSentEvent

from hermes_stream.client.failures import error_of_event
from hermes_stream.client.values import AnswerValue, EventValue
from hermes_stream.errors import ServiceError


@dataclass(slots=True, kw_only=True)
class Reading:
    """What came so far of an answer in pieces.

    Attributes:
        answer: the whole one; None before the end.
    """

    answer: AnswerValue | None = None

    def take(self, event: ServerSentEvent) -> str:
        """Take one event; return the piece of text that it brings, which may be empty.

        Raises:
            HermesError: the answer failed.
            PermissionError: the key was revoked meanwhile.
        """
        document = json.loads(event.data) if event.data else {}
        if event.event == "error":
            raise error_of_event(document["error"])
        if event.event == "answer":
            self.answer = AnswerValue.of(document)
            return ""
        return str(document.get("text", ""))

    def require(self) -> AnswerValue:
        """Return the whole answer.

        Raises:
            ServiceError: the connection ended before it.
        """
        if self.answer is None:
            raise ServiceError("the server closed the connection in the middle of an answer; ask again")
        return self.answer


@dataclass(slots=True, kw_only=True)
class Following:
    """How far a client has followed the record.

    Attributes:
        last_id: of the newest event that it has seen; None before the server has said where it begins.
        num_failures: connections in a row that brought nothing.
    """

    last_id: int | None = None
    num_failures: int = field(default=0)

    @property
    def headers(self) -> dict[str, str]:
        """Headers by which the server goes on where the last connection ended."""
        own = {"Accept": "text/event-stream"}
        return own if self.last_id is None else own | {"Last-Event-ID": str(self.last_id)}

    def take(self, event: ServerSentEvent) -> EventValue | None:
        """Take what came; return the event that it brings, or None.

        Raises:
            HermesError: the record failed.
            PermissionError: the key was revoked meanwhile.
        """
        self.num_failures = 0
        if event.event == "error":
            raise error_of_event(json.loads(event.data)["error"])
        if event.id.isdigit():
            self.last_id = int(event.id)
        return EventValue.of(json.loads(event.data)) if event.data else None

    def pause_seconds(self) -> float:
        """Return how long to wait before the next connection, after one that broke."""
        self.num_failures += 1
        return min(0.25 * 2 ** min(self.num_failures, 6), 10.0)
