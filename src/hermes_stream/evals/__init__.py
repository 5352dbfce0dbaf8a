"""Benchmarks: annotated videos, played once, with questions at their times and scores of the answers."""

from hermes_stream.evals.base import Episode, EvalQuestion
from hermes_stream.evals.dialects import DIALECTS, load_annotations, write_annotations
from hermes_stream.evals.finding import find_video
from hermes_stream.evals.runner import Prediction, Reply, SessionWatcher, Watcher, run
from hermes_stream.evals.scoring import Report, Score, score

__all__ = [
    "Episode",
    "EvalQuestion",
    "DIALECTS",
    "load_annotations",
    "write_annotations",
    "find_video",
    "run",
    "Watcher",
    "SessionWatcher",
    "Reply",
    "Prediction",
    "score",
    "Score",
    "Report",
]
