"""Accuracy: videos are streamed once, questions asked at their times, answers scored."""

from hermes_lab.evaluation.grading import Marked, mark
from hermes_lab.evaluation.runner import Prediction, Reply, SessionWatcher, Watcher, run
from hermes_lab.evaluation.scorers import scorer
from hermes_lab.evaluation.scoring import Report, Score, score

__all__ = [
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
