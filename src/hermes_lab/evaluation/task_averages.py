"""The averages that benchmarks publish, from the accuracies of their tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from hermes_lab.datasets.task_groups import OVO_TASKS

_TASKS = {task for tasks in OVO_TASKS.values() for task in tasks}


def averages(rights_by_kind: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return every average that the kinds allow.

    ``questions`` is the mean over all questions, ``tasks`` that over kinds. Where all kinds are tasks of
    OVO-Bench: ``ovo_backward``, ``ovo_realtime`` and ``ovo_forward`` are means over the tasks of a category;
    ``ovo`` is the mean of the three, as in its paper, and ``ovo_realtime_backward`` that of the first two, as
    in papers without its forward tasks.

    Args:
        rights_by_kind: for each kind how often each question was answered right, from 0 to 1; kinds
            without any are passed over.
    """
    rights = {kind: own for kind, own in rights_by_kind.items() if own}
    if not rights:
        return {}
    by_kind = {kind: fmean(own) for kind, own in rights.items()}
    found = {
        "questions": fmean(right for own in rights.values() for right in own),
        "tasks": fmean(by_kind.values()),
    }
    return found | _ovo(by_kind) if set(by_kind) <= _TASKS else found


def _ovo(by_task: Mapping[str, float]) -> dict[str, float]:
    found = {}
    for category, tasks in OVO_TASKS.items():
        own = [by_task[task] for task in tasks if task in by_task]
        if own:
            found[f"ovo_{category}"] = fmean(own)
    if {"ovo_realtime", "ovo_backward"} <= set(found):
        found["ovo_realtime_backward"] = fmean((found["ovo_realtime"], found["ovo_backward"]))
        if "ovo_forward" in found:
            found["ovo"] = fmean(found[f"ovo_{category}"] for category in OVO_TASKS)
    return found
