"""Standing questions: asked again and again by themselves, and heard of when their answer changes."""

from hermes_stream.stream.watches.deferred import Deferred
from hermes_stream.stream.watches.events import EventKind, Suppression, WatchEvent
from hermes_stream.stream.watches.rules import Calibration, WatchKind, WatchRules
from hermes_stream.stream.watches.saved_watch import restore_watch, saved_watch
from hermes_stream.stream.watches.schedule import Schedule
from hermes_stream.stream.watches.stats import WatchesStats, WatchStats
from hermes_stream.stream.watches.watch import Watch
from hermes_stream.stream.watches.watches import Watches

__all__ = [
    "Watch",
    "Watches",
    "Deferred",
    "WatchEvent",
    "WatchRules",
    "WatchKind",
    "WatchStats",
    "WatchesStats",
    "Calibration",
    "EventKind",
    "Suppression",
    "Schedule",
    "saved_watch",
    "restore_watch",
]
