"""Programs that share an evaluation: each takes the next video, and has a GPU if there is one."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue

import torch

from hermes_lab.datasets.episode import Episode
from hermes_lab.evaluation.lockstep import (
    EvaluatedPolicy,
    LoadModel,
    Viewing,
    WatchedVideo,
    watch_video,
)
from hermes_stream.errors import CapacityError
from hermes_stream.models import VideoModel

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def watch_in_pool(
    tasks: Sequence[tuple[Episode, Sequence[EvaluatedPolicy]]],
    viewing: Viewing,
    *,
    num_workers: int,
    on_progress: Callable[[float], None],
) -> Iterator[WatchedVideo]:
    """Spread videos over programs, and yield each when it is watched.

    Args:
        tasks: videos, and the policies that watch each.
        viewing: how they watch.
        num_workers: programs that work at the same time.
        on_progress: is called with the number of videos done.

    Raises:
        CapacityError: a program ended before its time.
    """
    # A model that was loaded here, to learn its settings, leaves its memory to the programs.
    gc.collect()
    torch.cuda.empty_cache()
    num_workers = min(num_workers, len(tasks))
    # A forked copy of a program whose torch has started threads may hang.
    context = get_context("spawn")
    gpus = context.SimpleQueue()
    for number in range(num_workers):
        gpus.put(gpu_of(number) if viewing.shares_gpus else None)
    beginning = (gpus, max(torch.get_num_threads() // num_workers, 1))
    with ProcessPoolExecutor(num_workers, context, initializer=_begin, initargs=beginning) as pool:
        waiting = [pool.submit(_watch, episode, policies, viewing) for episode, policies in tasks]
        try:
            for number, future in enumerate(as_completed(waiting), start=1):
                yield future.result()
                on_progress(number)
        except BrokenProcessPool as error:
            raise CapacityError(
                f"one of {num_workers} programs ended before its time, most likely for lack of memory; start "
                "again, it goes on where it was, with fewer workers"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def gpu_of(number: int) -> str | None:
    """Return the one GPU that a program is to see, as CUDA names it; None without a GPU."""
    named = os.environ.get(_VISIBLE)
    visible = named.split(",") if named else [str(k) for k in range(torch.cuda.device_count())]
    return visible[number % len(visible)] if visible else None


def _begin(gpus: SimpleQueue[str | None], num_threads: int) -> None:
    gpu = gpus.get()
    if gpu is not None:
        # CUDA reads this when it is first used, which is later: "auto" and "cuda" then mean this GPU.
        os.environ[_VISIBLE] = gpu
    torch.set_num_threads(num_threads)


def _watch(episode: Episode, policies: Sequence[EvaluatedPolicy], viewing: Viewing) -> WatchedVideo:
    return watch_video(_loaded(viewing.load_model), episode, policies, viewing)


@lru_cache(maxsize=1)
def _loaded(load_model: LoadModel) -> VideoModel:
    """Load a program's model once for all its videos."""
    return load_model()
