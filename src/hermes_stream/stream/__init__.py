"""A stream's life: sessions, answers, the memory at work, and an engine for many streams."""

from hermes_stream.stream.answer import Answer
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.evidence import Evidence, Moment, PatchShare
from hermes_stream.stream.handle import StreamHandle
from hermes_stream.stream.session import Session
from hermes_stream.stream.snapshot import Snapshot, SnapshotSummary, read_summary
from hermes_stream.stream.stats import SessionStats
from hermes_stream.stream.watches import Schedule, Watch, WatchEvent, WatchRules

__all__ = [
    "Session",
    "Engine",
    "StreamHandle",
    "Answer",
    "Evidence",
    "PatchShare",
    "Moment",
    "SessionStats",
    "Snapshot",
    "SnapshotSummary",
    "read_summary",
    "Watch",
    "WatchEvent",
    "WatchRules",
    "Schedule",
]
