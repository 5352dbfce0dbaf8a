"""Several programs that share one run, each with a part of the videos, and a GPU where there are some."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from hermes_stream.cli.option_groups import arguments_of
from hermes_stream.cli.output import complain, progress_bar
from hermes_stream.errors import HermesError

if TYPE_CHECKING:
    from hermes_lab.cli.eval_run import EvalWish
    from hermes_lab.datasets import Episode
    from hermes_lab.evaluation.run_folder import RunFolder

_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 10.0


def share(wish: EvalWish, episodes: Sequence[Episode], folder: RunFolder) -> None:
    """Start the programs and wait for them; what they complain of is told once.

    Args:
        wish: of the whole run.
        episodes: all that are watched.
        folder: of the run.

    Raises:
        HermesError: a program failed; what the others answered is stored.
    """
    devices = _devices(wish)
    with ExitStack() as stack:
        told = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(wish.workers)]
        started = [
            stack.enter_context(_started(_arguments(wish, k, devices[k % len(devices)]), wish.workers, log))
            for k, log in enumerate(told)
        ]
        _wait(started, episodes, folder)
        lines = dict.fromkeys(line for log in told for line in _lines(log))
    failed = [one.returncode for one in started if one.returncode]
    for line in lines:
        if ": warning: " in line:
            complain(line.partition(": warning: ")[2], kind="warning")
    if failed:
        errors = [line for line in lines if ": warning: " not in line]
        last = errors[-1].removeprefix("hermes: error: ") if errors else f"exit code {failed[0]}"
        raise HermesError(
            f"{len(failed)} of {wish.workers} programs failed ({last}); start the run again to go on with it"
        )


def _wait(started: Sequence[subprocess.Popen[str]], episodes: Sequence[Episode], folder: RunFolder) -> None:
    names = {question.question_id for one in episodes for question in one.questions}
    with progress_bar("watching", len(names)) as move:
        while any(one.poll() is None for one in started):
            move(len(names.intersection(str(line["question_id"]) for line in folder.lines())))
            time.sleep(_LOOK_SECONDS)


@contextmanager
def _started(arguments: Sequence[str], num_workers: int, log: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """Start one program, which ends with this one whatever happens."""
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    one = subprocess.Popen(
        [sys.executable, "-m", "hermes_stream", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        env=environment,
        text=True,
    )
    try:
        yield one
    finally:
        if one.poll() is None:
            one.terminate()
            try:
                one.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


def _arguments(wish: EvalWish, number: int, device: str) -> list[str]:
    """Return the command line of one part."""
    threads = wish.model.threads and max(1, wish.model.threads // wish.workers)
    model = replace(wish.model, device=device, threads=threads)
    options = {
        "--videos": wish.videos,
        "--budget-bytes": wish.budget_bytes,
        "--fps": wish.fps,
        "--seed": wish.seed,
        "--limit": wish.limit,
        "--out": wish.out,
        "--scorer": wish.scorer,
        "--shard": f"{number}/{wish.workers}",
    }
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    given += ["--short-answers"] if wish.short_answers else []
    return ["eval", str(wish.annotations), *arguments_of(model, wish.memory), *given]


def _devices(wish: EvalWish) -> list[str]:
    """Return the devices that the programs take in turn."""
    if wish.model.device not in ("auto", "cuda"):
        return [wish.model.device]
    import torch

    return [f"cuda:{k}" for k in range(torch.cuda.device_count())] or [wish.model.device]


def _lines(log: IO[str]) -> list[str]:
    log.seek(0)
    return [line.strip() for line in log if line.strip()]
