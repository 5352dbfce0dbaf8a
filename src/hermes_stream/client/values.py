"""What a service tells its clients, as plain values.

A newer server may say more: what is unknown here stands in ``document`` alone, so that old clients go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Anything a server tells.

    Attributes:
        document: all of it, as it came.
    """

    document: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read a JSON document."""
        known = {field.name for field in fields(cls)} - {"document"}
        return cls(document=document, **{name: document[name] for name in known if name in document})


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamValue(Value):
    """One stream, as it is now; ``hermes_stream.service.StreamStatus`` says what each number means."""

    name: str
    state: str
    reason: str | None = None
    source: str | None = None
    policy: str = ""
    budget_tokens: int | None = None
    fps: float | None = None
    epoch: int = 1
    newest_pts_seconds: float | None = None
    folded_until_seconds: float | None = None
    restored_until_seconds: float | None = None
    lag_seconds: float = 0.0
    delivered_fps: float = 0.0
    num_frames: int = 0
    num_gaps: int = 0
    num_reconnections: int = 0
    num_open_questions: int = 0

    @property
    def num_dropped_frames(self) -> int:
        """Frames that were due, came, and are not in the memory."""
        return sum(self.document.get("dropped", {}).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentValue(Value):
    """A moment on which an answer's attention rested.

    Attributes:
        seconds: when, in seconds of the stream.
        from_seconds: where the attention begins.
        until_seconds: where it ends.
        share: part of the attention to the video, in [0, 1].
        picture_url: path of a picture on the server; None without.
    """

    seconds: float
    from_seconds: float
    until_seconds: float
    share: float
    picture_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerValue(Value):
    """An answer that is complete; ``hermes_stream.service.LiveAnswer`` says what each number means."""

    text: str
    question: str
    stream: str
    finish_reason: str
    ttft_seconds: float
    ttft_with_pending_seconds: float
    id: int | None = None
    option_index: int | None = None
    num_tokens: int = 0
    confidence: float | None = None
    clarification: bool = False
    guess: str | None = None
    unseen: bool = False
    unseen_score: float | None = None

    @property
    def evidence(self) -> tuple[MomentValue, ...]:
        """Moments on which the answer's attention rested, the largest share first."""
        return tuple(map(MomentValue.of, self.document.get("evidence", ())))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class EventValue(Value):
    """Something that happened, as it is recorded; ``hermes_stream.service.events.Event`` says more."""

    id: int
    kind: str
    wall_seconds: float
    stream: str | None = None
    epoch: int | None = None
    pts_seconds: float | None = None
    payload: Mapping[str, Any]
    picture_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotValue(Value):
    """A memory on disk; ``hermes_stream.service.SnapshotStatus`` says what each number means."""

    id: int
    stream: str
    epoch: int
    num_frames: int
    num_bytes: int
    created_wall_seconds: float
    pts_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchValue(Value):
    """A standing question; ``hermes_stream.service.watch_status.WatchStatus`` says more."""

    id: int
    stream: str
    name: str
    question: str
    kind: str
    is_on: bool = True
    failure: str | None = None

    @property
    def value(self) -> str | None:
        """The answer that holds."""
        return self.document["state"]["value"]

    @property
    def score(self) -> float | None:
        """How likely that is by the last look."""
        return self.document["state"]["score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentValue(Value):
    """What an alert opened; ``hermes_stream.service.incidents.Incident`` says what each number means."""

    id: str
    stream: str
    watch: int
    name: str
    question: str
    severity: str
    status: str
    started_seconds: float
    started_at: str
    ended_seconds: float | None = None
    ended_at: str | None = None
    score: float = 0.0
    summary: str | None = None
    num_updates: int = 0
    reviewed: bool = False

    @property
    def picture_urls(self) -> tuple[str, ...]:
        """Paths of its pictures on the server, oldest first."""
        return tuple(one["url"] for one in self.document.get("pictures", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialValue(Value):
    """When a watch would have spoken.

    Attributes:
        fired: documents with ``stream_seconds``, ``kind``, ``value``, ``score``.
        scores: [seconds, score] of each look.
        covered_seconds: how much of the stream was looked at.
    """

    fired: tuple[Mapping[str, Any], ...]
    scores: tuple[tuple[float, float], ...]
    covered_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptValue(Value):
    """What became of frames that were pushed; ``hermes_stream.service.PushReceipt`` says more."""

    newest_pts_seconds: float | None
    num_accepted: int
    num_skipped: int
    num_dropped: int
