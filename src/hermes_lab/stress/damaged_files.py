"""Thousands of damaged files, each read in another process with limits: how that is run, counted and told."""

from __future__ import annotations

import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hermes_lab.stress.record import write_record
from hermes_lab.stress.workers import Limits, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A damaged file that was written.

    Attributes:
        source: what was damaged.
        mutations: how.
        task: for the process that reads it.
    """

    source: str
    mutations: tuple[str, ...]
    task: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one damaged file went.

    Attributes:
        index: which it is, of its seed.
        source: what was damaged.
        mutations: how.
        outcome: what its reader made of it; crash, hang, traceback or memory.
        message: what was said, if it was refused or went wrong.
        seconds: time taken.
        peak_bytes: the most memory, 0 where the process died.
    """

    index: int
    source: str
    mutations: tuple[str, ...]
    outcome: str
    message: str
    seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is damaged, and how it is read.

    Attributes:
        damage: writes the files of a seed and an index into a folder.
        reader: module of the process that reads them, see ``Worker``.
        right: outcomes that are right.
        first: a task before the others, see ``Worker``.
    """

    damage: Callable[[Path, int, int], Damaged]
    reader: str
    right: Sequence[str]
    first: dict[str, Any] | None = None

    def run(self, *, count: int, seed: int, limits: Limits, num_workers: int) -> Iterator[Outcome]:
        """Damage and read, several at once, and yield the outcomes in order."""
        idle: SimpleQueue[Worker] = SimpleQueue()
        workers = [Worker(self.reader, limits, first=self.first) for _ in range(num_workers)]
        for worker in workers:
            idle.put(worker)

        def one(index: int) -> Outcome:
            with tempfile.TemporaryDirectory() as folder:
                damaged = self.damage(Path(folder), seed, index)
                worker = idle.get()
                start_seconds = time.perf_counter()
                try:
                    result = worker.do(damaged.task)
                finally:
                    idle.put(worker)
            return Outcome(
                index=index,
                source=damaged.source,
                mutations=damaged.mutations,
                outcome=result["outcome"],
                message=result.get("message", "").replace(f"{folder}/", ""),
                seconds=round(time.perf_counter() - start_seconds, 3),
                peak_bytes=result.get("peak_bytes", 0),
            )

        with ThreadPoolExecutor(num_workers) as pool:
            try:
                yield from pool.map(one, range(count))
            finally:
                for worker in workers:
                    worker.close()

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """Return counts, the extremes, and everything that went wrong."""
        sources: dict[str, Counter[str]] = {}
        for one in outcomes:
            sources.setdefault(one.source, Counter())[one.outcome] += 1
        return {
            "num_files": len(outcomes),
            "outcomes": dict(Counter(one.outcome for one in outcomes).most_common()),
            "sources": {source: dict(counts) for source, counts in sorted(sources.items())},
            "slowest": asdict(max(outcomes, key=lambda one: one.seconds)),
            "largest": asdict(max(outcomes, key=lambda one: one.peak_bytes)),
            "wrong": [asdict(one) for one in outcomes if one.outcome not in self.right],
        }

    def run_command(self, script: str, arguments: Namespace) -> None:
        """Do what a command line asks for: write the damaged files of one index, or run and write a record.

        Args:
            script: name of the module that was run.
            arguments: parsed by ``parser``.
        """
        if arguments.only is not None:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            damaged = self.damage(arguments.keep, arguments.seed, arguments.only)
            write_record(None, script, asdict(damaged))
            return
        limits = Limits(seconds=arguments.seconds, bytes=arguments.megabytes * 10**6)
        outcomes = list(
            self.run(count=arguments.count, seed=arguments.seed, limits=limits, num_workers=arguments.workers)
        )
        numbers = {"seed": arguments.seed, "limits": asdict(limits), **self.summary(outcomes)}
        write_record(arguments.out, script, numbers)


def parser(about: str | None) -> ArgumentParser:
    """Return what reads the command line of such a script.

    Args:
        about: the script, in the first line.
    """
    parsed = ArgumentParser(description=(about or "").partition("\n")[0])
    parsed.add_argument("--count", type=int, default=500, help="files to damage and read")
    parsed.add_argument("--seed", type=int, default=0)
    parsed.add_argument("--out", type=Path, help="file for the JSON document")
    parsed.add_argument("--workers", type=int, default=2)
    parsed.add_argument("--seconds", type=float, default=20.0, help="limit of one file")
    parsed.add_argument("--megabytes", type=int, default=1000, help="limit of one file")
    parsed.add_argument("--only", type=int, help="write the damaged file of this index and stop")
    parsed.add_argument("--keep", type=Path, default=Path(), help="folder for it")
    return parsed
