"""Benchmarks: annotated videos, played once, with questions at their times and scores of the answers."""

from hermes_stream.evals.base import Episode, EvalQuestion
from hermes_stream.evals.dialects import (
    DIALECTS,
    READ_DIALECTS,
    Annotations,
    load_annotations,
    read_annotations,
    write_annotations,
)
from hermes_stream.evals.finding import VideoFinder, find_video
from hermes_stream.evals.marking import Marked, mark
from hermes_stream.evals.runner import Prediction, Reply, SessionWatcher, Watcher, run
from hermes_stream.evals.scorers import scorer
from hermes_stream.evals.scoring import Report, Score, score

__all__ = [
    "Episode",
    "EvalQuestion",
    "DIALECTS",
    "READ_DIALECTS",
    "Annotations",
    "read_annotations",
    "load_annotations",
    "write_annotations",
    "find_video",
    "VideoFinder",
    "run",
    "Watcher",
    "SessionWatcher",
    "Reply",
    "Prediction",
    "mark",
    "Marked",
    "scorer",
    "score",
    "Score",
    "Report",
]
