"""Damaged checkpoints in great number: each is loaded and answers with finite numbers, or is refused.

    python -m hermes_lab.stress.checkpoints --count 2000 --seed 1 --out results/stress_checkpoints.json

A worker of its own loads each and asks it a question; one that hangs or dies is replaced. The last line
printed is the summary as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hermes_lab.stress.record import write_record

_MAX_SECONDS = 20.0
_PATIENCE = (
    15  # by the clock: other programs may be running, and the worker's own time cannot be told everywhere
)
_MAX_BYTES = 1 << 30
FAULTS = ("traceback", "nonsense", "hang", "crash", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one damaged checkpoint.

    Attributes:
        kind: "answers", "refused", or one of ``FAULTS``.
        error: the kind of error that refused it; empty where none did.
        message: its text, or the end of a traceback.
        seconds: of the processor that loading and answering took.
        peak_bytes: that they took of memory, beyond what the worker had before.
    """

    kind: str
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0


def examine(folder: Path) -> Outcome:
    """Load a checkpoint, show it a few frames and ask it a question."""
    from hermes_stream.errors import HermesError

    try:
        answer_text, is_finite = _use(folder)
    except HermesError as error:
        return Outcome(kind="refused", error=type(error).__name__, message=str(error)[:500])
    except BaseException as error:  # a panic of a library in Rust is no Exception
        lines = traceback.format_exception(error)
        return Outcome(kind="traceback", error=type(error).__name__, message="".join(lines)[-1500:])
    return Outcome(kind="answers" if is_finite else "nonsense", message=answer_text[:80])


def _use(folder: Path) -> tuple[str, bool]:
    """Return an answer, and whether the logits behind it are finite."""
    import numpy as np

    from hermes_stream import Frame, HermesPolicy, Session, load_model

    model = load_model(folder, device="cpu")
    session = Session(model, HermesPolicy(budget_tokens=30), chunk_frames=4)
    pictures = np.random.default_rng(0).integers(0, 256, size=(8, 48, 64, 3), dtype=np.uint8)
    session.observe([Frame(pts_seconds=float(k), image=image) for k, image in enumerate(pictures)])
    text = session.ask("what is on screen now? <|im_end|>", max_new_tokens=3).text
    return text, bool(session.next_token_logits("which came first?").isfinite().all())


def worker(connection: Connection) -> None:
    """Examine folder after folder until None comes."""
    import logging
    import warnings

    import torch

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    connection.send("ready")
    while (folder := connection.recv()) is not None:
        before, start = _peak_bytes(begin=True), time.process_time()
        found = asdict(examine(Path(folder)))
        found |= {"seconds": time.process_time() - start, "peak_bytes": _peak_bytes() - before}
        connection.send(found)


def _peak_bytes(*, begin: bool = False) -> int:
    """Return the most memory that this program has had since it was last begun to count; 0 without Linux."""
    try:
        if begin:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _processor_seconds(pid: int | None) -> float:
    """Return the processor time that a program and its ended children took; 0 without Linux."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class Examiner:
    """Examines folders in a worker, and replaces one that hangs or dies."""

    def __init__(self) -> None:
        self._context = get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._connection, other = self._context.Pipe()
        self._worker = self._context.Process(target=worker, args=(other,), daemon=True)
        self._worker.start()
        other.close()
        try:
            self._connection.recv()  # its imports are done
        except EOFError:
            raise RuntimeError("the worker cannot be started; its own message says why") from None

    def examine(self, folder: Path) -> Outcome:
        """Return what became of a checkpoint."""
        try:
            self._connection.send(str(folder))
            if self._answers_in_time():
                return _judged(Outcome(**self._connection.recv()))
            kind, message = "hang", f"no answer in {_MAX_SECONDS:g} seconds"
        except (EOFError, OSError):
            self._worker.join(5)
            kind, message = "crash", f"exit code {self._worker.exitcode}"
        self.close()
        self._start()
        return Outcome(kind=kind, message=message, seconds=_MAX_SECONDS)

    def _answers_in_time(self) -> bool:
        """Wait for an answer, for so many seconds of the worker's own time."""
        start, clock = _processor_seconds(self._worker.pid), time.monotonic()
        while not self._connection.poll(0.1):
            used = _processor_seconds(self._worker.pid) - start
            if used > _MAX_SECONDS or time.monotonic() - clock > _PATIENCE * _MAX_SECONDS:
                return False
        return True

    def close(self) -> None:
        """End the worker."""
        self._worker.kill()
        self._worker.join()
        self._connection.close()


def _judged(outcome: Outcome) -> Outcome:
    values = asdict(outcome)
    if outcome.kind in ("answers", "refused") and outcome.peak_bytes > _MAX_BYTES:
        return Outcome(**values | {"kind": "memory"})
    return outcome


def run(count: int, seed: int, *, max_seconds: float) -> dict[str, Any]:
    """Damage and examine checkpoints; return counts, and all faults in full.

    Args:
        count: checkpoints.
        seed: of the damage and of the random weights.
        max_seconds: no further one is begun after so long.
    """
    from hermes_lab.stress.checkpoint_damage import damage
    from hermes_lab.stress.checkpoint_sources import save_sources

    kinds: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    by_damage: dict[str, Counter[str]] = {}
    faults, slowest, largest, start = [], 0.0, 0, time.monotonic()
    with TemporaryDirectory() as written:
        sources = save_sources(Path(written), seed=seed)
        examiner = Examiner()
        for index in range(count):
            if time.monotonic() - start > max_seconds:
                break
            random = Random(f"{seed}-{index}")
            name, folder = random.choice(sorted(sources)), Path(written) / "damaged"
            kind, lines = damage(sources[name], folder, random)
            outcome = examiner.examine(folder)
            shutil.rmtree(folder)
            kinds[outcome.kind] += 1
            errors[outcome.error] += outcome.kind == "refused"
            by_damage.setdefault(kind, Counter())[outcome.kind] += 1
            slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.peak_bytes)
            if outcome.kind in FAULTS:
                fault = {"index": index, "checkpoint": name, "damage": lines} | asdict(outcome)
                faults.append(fault)
                sys.stderr.write(json.dumps(fault) + "\n")
        examiner.close()
    return {
        "count": sum(kinds.values()),
        "seed": seed,
        "outcomes": dict(kinds),
        "refused_by": {error: number for error, number in errors.items() if number},
        "by_damage": {kind: dict(found) for kind, found in sorted(by_damage.items())},
        "slowest_seconds": round(slowest, 2),
        "largest_peak_bytes": largest,
        "seconds": round(time.monotonic() - start, 1),
        "faults": faults,
    }


def main() -> int:
    """Run from the command line; the exit code is 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=300, help="damaged checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="of the damage and the random weights")
    parser.add_argument("--max-seconds", type=float, default=3600, help="begin no further one after so long")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    options = parser.parse_args()
    found = run(options.count, options.seed, max_seconds=options.max_seconds)
    write_record(options.out, "checkpoints", found)
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
