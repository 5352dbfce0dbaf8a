"""Accuracy: videos are streamed once, questions asked at their times, answers scored."""

from hermes_lab.evaluation.evaluate import evaluate
from hermes_lab.evaluation.grading import Graded, grade
from hermes_lab.evaluation.lockstep import EvaluatedPolicy, Viewing, WatchedVideo
from hermes_lab.evaluation.predictions import Prediction, Reply, Run, RunKey
from hermes_lab.evaluation.runner import SessionWatcher, Watcher, run_episode
from hermes_lab.evaluation.scorers import scorer
from hermes_lab.evaluation.scoring import Report, Score, score

__all__ = [
    "evaluate",
    "EvaluatedPolicy",
    "Viewing",
    "WatchedVideo",
    "run_episode",
    "Watcher",
    "SessionWatcher",
    "Reply",
    "Prediction",
    "Run",
    "RunKey",
    "grade",
    "Graded",
    "scorer",
    "score",
    "Score",
    "Report",
]
