"""Read thousands of damaged annotations: python -m hermes_lab.stress.annotations --count N --seed S --out F.

Each is a small file of some benchmark's form, or one of responses to it, damaged in one to four places, and
read and scored in another process with limits. Right is whatever is read, with oddities told or not, or
refused in words; wrong is a crash, a hang, a traceback, too much memory, or a count that does not add up. The
same seed makes the same files: ``--only K --keep FOLDER`` writes one of them. The last line printed is a JSON
document.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hermes_lab.stress.document_mutations import damaged_bytes, damaged_document
from hermes_lab.stress.sound_annotations import Sound, encoded, sound_files
from hermes_lab.stress.workers import Limits, Worker, machine
from hermes_stream.cli.machine import versions

_MODULE = "hermes_lab.stress.annotations"
_READING = "hermes_lab.stress.reading"
_RIGHT = ("read", "odd", "refused")
_BYTES_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one damaged file went.

    Attributes:
        index: which it is, of its seed.
        form: what was damaged.
        mutations: how.
        outcome: read, odd or refused; crash, hang, traceback or memory.
        message: what was said, if it was refused or went wrong.
        seconds: time taken, the limit where the process died.
        peak_bytes: the most memory, 0 where the process died.
    """

    index: int
    form: str
    mutations: tuple[str, ...]
    outcome: str
    message: str
    seconds: float
    peak_bytes: int


def write_damaged(folder: Path, *, seed: int, index: int) -> tuple[Sound, tuple[str, ...], dict[str, Any]]:
    """Write the files of an index; return what was damaged, how, and the task that reads them."""
    every = sound_files()
    sound, rng = every[index % len(every)], random.Random(f"{seed}/{index}")
    files = {sound.file: sound.document, **dict(sound.beside)}
    if sound.responses is not None:
        files[sound.responses[0]] = sound.responses[1]
    # responses are what other systems write, and so the more often damaged of the two
    chosen = sound.responses[0] if sound.responses and rng.random() < 0.8 else rng.choice(list(files))
    mutations: list[str] = []
    for name, document in files.items():
        own = document
        if name == chosen:
            own, mutations = damaged_document(document, rng)
        content = encoded(name, own)
        if name == chosen and rng.random() < _BYTES_SHARE:
            content, how = damaged_bytes(content, rng)
            mutations.append(how)
        (folder / name).write_bytes(content)
    is_folder = bool(sound.beside) and sound.name == "mlvu folder"
    task = {
        "annotations": str(folder if is_folder else folder / sound.file),
        "responses": str(folder / sound.responses[0]) if sound.responses else None,
    }
    return sound, tuple(mutations), task


def read_all(*, count: int, seed: int, limits: Limits, num_workers: int) -> Iterator[Outcome]:
    """Damage and read, several at once, and yield the outcomes in order."""
    idle: SimpleQueue[Worker] = SimpleQueue()
    nothing = {"annotations": os.devnull, "responses": None}
    workers = [Worker(_READING, limits, first=nothing) for _ in range(num_workers)]
    for worker in workers:
        idle.put(worker)

    def one(index: int) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            sound, mutations, task = write_damaged(Path(folder), seed=seed, index=index)
            worker = idle.get()
            try:
                result = worker.do(task)
            finally:
                idle.put(worker)
        return Outcome(
            index=index,
            form=sound.name,
            mutations=mutations,
            outcome=result["outcome"],
            message=result.get("message", "").replace(f"{folder}/", ""),
            seconds=round(result.get("seconds", limits.seconds), 3),
            peak_bytes=result.get("peak_bytes", 0),
        )

    with ThreadPoolExecutor(num_workers) as pool:
        try:
            yield from pool.map(one, range(count))
        finally:
            for worker in workers:
                worker.close()


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return counts, the extremes, and everything that went wrong."""
    forms = sorted({one.form for one in outcomes})
    return {
        "num_files": len(outcomes),
        "outcomes": dict(Counter(one.outcome for one in outcomes).most_common()),
        "forms": {form: dict(Counter(one.outcome for one in outcomes if one.form == form)) for form in forms},
        "slowest": asdict(max(outcomes, key=lambda one: one.seconds)),
        "largest": asdict(max(outcomes, key=lambda one: one.peak_bytes)),
        "wrong": [asdict(one) for one in outcomes if one.outcome not in _RIGHT],
    }


def main() -> None:
    """Read the command line, damage, read, write and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="files to damage and read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the JSON document")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="limit of one file")
    parser.add_argument("--megabytes", type=int, default=1000, help="limit of one file")
    parser.add_argument("--only", type=int, help="write the damaged file of this index and stop")
    parser.add_argument("--keep", type=Path, default=Path(), help="folder for it")
    arguments = parser.parse_args()
    if arguments.only is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        _, mutations, task = write_damaged(arguments.keep, seed=arguments.seed, index=arguments.only)
        sys.stdout.write(json.dumps(task | {"mutations": mutations}) + "\n")
        return
    limits = Limits(seconds=arguments.seconds, bytes=arguments.megabytes * 10**6)
    outcomes = list(
        read_all(count=arguments.count, seed=arguments.seed, limits=limits, num_workers=arguments.workers)
    )
    document = {
        "command": f"python -m {_MODULE} --count {arguments.count} --seed {arguments.seed}",
        "seed": arguments.seed,
        "machine": machine(),
        "versions": versions(),
        "limits": asdict(limits),
        **summary(outcomes),
    }
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
