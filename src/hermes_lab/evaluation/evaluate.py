"""Policies watch videos, here or spread over programs.

A comparison and the evaluation of a single policy are both this.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Sequence

from hermes_lab.datasets.episode import Episode
from hermes_lab.evaluation.lockstep import EvaluatedPolicy, Viewing, WatchedVideo, watch_video
from hermes_lab.evaluation.pool import watch_in_pool
from hermes_lab.evaluation.predictions import RunKey


def evaluate(
    episodes: Sequence[Episode],
    policies: Sequence[EvaluatedPolicy],
    viewing: Viewing,
    *,
    done: Container[RunKey] = (),
    num_workers: int = 1,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Generator[WatchedVideo]:
    """Let policies watch videos, and yield each video when all are through with it, in any order.

    Args:
        episodes: those without questions are passed over.
        policies: no two of one name, budget and seed.
        viewing: how they watch.
        done: runs that need not be made again.
        num_workers: programs that work at the same time, at least 1; 1 is this one alone.
        on_progress: is called with the number of videos done, a share of the present one included.

    Raises:
        WorkerError: a program ended before its time.
    """
    tasks = []
    for episode in episodes:
        missing = [one for one in policies if one.key(episode.name) not in done]
        if missing and episode.questions:
            tasks.append((episode, missing))
    if num_workers > 1 and len(tasks) > 1:
        yield from watch_in_pool(tasks, viewing, num_workers=num_workers, on_progress=on_progress)
        return
    model = viewing.load_model() if tasks else None
    for number, (episode, missing) in enumerate(tasks):
        assert model is not None
        yield watch_video(model, episode, missing, viewing, on_frame=_share(number, episode, on_progress))
        on_progress(number + 1)


def _share(number: int, episode: Episode, on_progress: Callable[[float], None]) -> Callable[[float], None]:
    length = max((question.asked_seconds for question in episode.questions), default=0.0)
    return lambda seconds: on_progress(number + min(seconds / max(length, 1.0), 1.0))
