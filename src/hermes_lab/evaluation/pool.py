"""Programs that share an evaluation: each takes the next video, and has a GPU if there is one."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from threading import Thread

import torch

from hermes_lab.datasets.episode import Episode
from hermes_lab.evaluation.lockstep import (
    EvaluatedPolicy,
    LoadModel,
    Viewing,
    WatchedVideo,
    watch_video,
)
from hermes_stream.errors import WorkerError
from hermes_stream.models import VideoModel

_MAX_END_SECONDS = 5.0
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
        WorkerError: a program ended before its time; what others had watched is yielded first.
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
    others = set(active_children())
    pool = ProcessPoolExecutor(num_workers, context, initializer=_begin, initargs=beginning)
    programs: set[BaseProcess] = set()
    is_done = False
    lost: BrokenProcessPool | None = None
    try:
        with _interrupts_held():
            waiting = [pool.submit(_watch, episode, policies, viewing) for episode, policies in tasks]
        programs = set(active_children()) - others
        for number, future in enumerate(as_completed(waiting), start=1):
            try:
                watched = future.result()
            except BrokenProcessPool as error:
                lost = error  # videos that are watched may come after it, and are kept
                continue
            yield watched
            on_progress(number)
        is_done = True
    finally:
        if not is_done:  # a video may take an hour more, and nobody waits for it now
            for program in programs:
                program.terminate()
        pool.shutdown(cancel_futures=True)
    if lost is not None:
        raise WorkerError(
            f"one of {num_workers} programs {_end_of(programs)}; what was watched until then is kept: start "
            "again, it goes on where it was, with fewer workers if memory ran out"
        ) from lost


def _end_of(programs: Iterable[BaseProcess]) -> str:
    """Say what ended a program; the pool ends the others by SIGTERM."""
    for program in programs:
        program.join(_MAX_END_SECONDS)
    codes = [program.exitcode for program in programs if program.exitcode not in (None, 0, -signal.SIGTERM)]
    if not codes:
        return "ended before its time"
    code = codes[0] or 0
    names = {one.value: one.name for one in signal.Signals}
    return f"was ended by {names.get(-code, f'signal {-code}')}" if code < 0 else f"ended with code {code}"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start programs that a terminal's Ctrl-C does not reach: the one that started them ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


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
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this program when the one that started it ends, even if that was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _watch(episode: Episode, policies: Sequence[EvaluatedPolicy], viewing: Viewing) -> WatchedVideo:
    return watch_video(_loaded(viewing.load_model), episode, policies, viewing)


@lru_cache(maxsize=1)
def _loaded(load_model: LoadModel) -> VideoModel:
    """Load a program's model once for all its videos."""
    return load_model()
