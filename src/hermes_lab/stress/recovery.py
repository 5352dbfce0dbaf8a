"""Kill -9: a program that keeps a memory on disk is killed at random moments, and goes on each time.

What is restored must be what an undisturbed run remembers after the same change, bit for bit, and at most a
second of what came may be lost. Exits 1 where it was otherwise. Linux only.

    python -m hermes_lab.stress.recovery --kills 50 --seed 0 --out results/recovery.json
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np
import torch

from hermes_lab.stress.record import write_record
from hermes_lab.stress.recorded_life import STYLES, RecordedLife, digest
from hermes_stream.models import VideoModel, load_model
from hermes_stream.service.journal import Committer
from hermes_stream.service.snapshots import Snapshots
from hermes_stream.stream import Snapshot
from hermes_stream.stream.changes import Change, FrameCame

_KILLS_PER_LIFE = 10
_SNAPSHOT_EVERY_FRAMES = 40
_FRAMES_PER_SECOND = 25
_READY_SECONDS = 300.0
_MAX_LOST_SECONDS = 1.0
_PROGRESS = struct.Struct("<Qd?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What a program found when it began.

    Attributes:
        num_changes: in the memory that it restored.
        digest: of that memory.
        num_replayed: changes that came from the journal.
        num_cut_bytes: torn at the journal's end.
        restore_seconds: that it took, the model being loaded.
    """

    num_changes: int
    digest: str
    num_replayed: int
    num_cut_bytes: int
    restore_seconds: float


def live(life: RecordedLife, folder: Path, ready: Connection) -> None:
    """Restore what a folder holds, say what that is, and live on until killed."""
    began = time.perf_counter()
    session, journal, snapshots = life.restore(folder)
    restart = Restart(
        num_changes=session.num_changes,
        digest=digest(session._stream),
        num_replayed=session.num_changes - _newest_changes(snapshots),
        num_cut_bytes=journal.num_cut_bytes,
        restore_seconds=time.perf_counter() - began,
    )
    progress = os.open(folder / "progress", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    written: Queue[Snapshot] = Queue()
    Thread(target=_write_snapshots, args=(snapshots, written, journal), daemon=True).start()

    def record(change: Change) -> None:
        journal.write(change)
        os.write(progress, _PROGRESS.pack(change.number, time.time(), isinstance(change.what, FrameCame)))

    session.record(record)
    with Committer() as committer:
        committer.add(journal)
        ready.send_bytes(json.dumps(asdict(restart)).encode())
        due = time.perf_counter()
        while True:
            index = life.go_on(session)
            if index % _SNAPSHOT_EVERY_FRAMES == 0:
                written.put(session.snapshot())
            due += 1 / _FRAMES_PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))


def _newest_changes(snapshots: Snapshots) -> int:
    newest = snapshots.newest()
    return Snapshot.read(newest).num_changes if newest else 0


def _write_snapshots(snapshots: Snapshots, waiting: Queue[Snapshot], journal: Any) -> None:
    before = 0
    while True:
        snapshot = waiting.get()
        snapshots.write(snapshot, epoch=0)
        # the journal reaches back to the snapshot before, which serves where the newest is damaged
        journal.forget(before)
        snapshots.keep(2)
        before = snapshot.num_changes


def kill_again_and_again(
    model: VideoModel, folder: Path, *, style: int, kills: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Let a program live in a folder, and kill it so many times; return what each restart found."""
    life = RecordedLife(model, style=style, seed=int(rng.integers(2**31)))
    found: list[dict[str, Any]] = []
    for number in range(kills + 1):
        wait_seconds = 0.0 if number == kills else float(rng.uniform(0.05, 2.5))
        found.append(_run_and_kill(life, folder, wait_seconds))
    most = max(one["num_changes"] for one in found)
    digests = life.digests(most + 1)  # a change a frame at least
    for one in found:
        one["style"] = style
        one["is_same"] = one.pop("digest") == digests[one["num_changes"]]
    return found[1:]


def _run_and_kill(life: RecordedLife, folder: Path, wait_seconds: float) -> dict[str, Any]:
    """Start a program, kill it some seconds after it is ready; return what it found when it began."""
    lost = _newest_progress(folder)
    # A copy of this program: to import and to load takes longer than to live. Torch has one thread here, so
    # that the copy has all that it needs.
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=live, args=(life, folder, theirs), daemon=True)
    child.start()
    try:
        theirs.close()
        if not ours.poll(_READY_SECONDS):
            raise RuntimeError(f"the program was not ready within {_READY_SECONDS} seconds")
        found: dict[str, Any] = json.loads(ours.recv_bytes())
        time.sleep(wait_seconds)
    finally:
        child.kill()  # SIGKILL: nothing is flushed, closed or told
        child.join()
        ours.close()
    missing = [one for one in lost if one[0] > found["num_changes"]]
    found["num_lost_changes"] = len(missing)
    found["num_lost_frames"] = sum(is_frame for _, _, is_frame in missing)
    found["lost_seconds"] = lost[-1][1] - missing[0][1] if missing else 0.0
    return found


def _newest_progress(folder: Path) -> list[tuple[int, float, bool]]:
    """Return number and time of the changes that the last program made, and which were frames."""
    path = folder / "progress"
    content = path.read_bytes() if path.exists() else b""
    path.unlink(missing_ok=True)
    return list(_PROGRESS.iter_unpack(content[: len(content) // _PROGRESS.size * _PROGRESS.size]))


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return numbers for the record."""

    def most(name: str) -> Any:
        return max(one[name] for one in found)

    num_wrong = sum(not one["is_same"] for one in found)
    return {
        "num_kills": len(found),
        "num_wrong": num_wrong,
        "num_torn": sum(one["num_cut_bytes"] > 0 for one in found),
        "max_lost_seconds": most("lost_seconds"),
        "max_lost_frames": most("num_lost_frames"),
        "max_replayed_changes": most("num_replayed"),
        "max_restore_seconds": most("restore_seconds"),
        "is_good": num_wrong == 0 and most("lost_seconds") <= _MAX_LOST_SECONDS,
        "frames_per_second": _FRAMES_PER_SECOND,
        "snapshot_every_frames": _SNAPSHOT_EVERY_FRAMES,
        "kills": found,
    }


def lives(kills: int) -> Iterator[tuple[int, int]]:
    """Yield the style of each life, and how often it is killed."""
    for style, first in enumerate(range(0, kills, _KILLS_PER_LIFE)):
        yield style % len(STYLES), min(_KILLS_PER_LIFE, kills - first)


def main() -> None:
    """Kill a program that keeps its memory on disk; exit 1 where it came back otherwise than it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, rng = load_model("tiny"), np.random.default_rng(given.seed)
    found: list[dict[str, Any]] = []
    for style, kills in lives(given.kills):
        with TemporaryDirectory() as folder:
            found += kill_again_and_again(model, Path(folder), style=style, kills=kills, rng=rng)
    numbers = summary(found)
    write_record(given.out, "recovery", {"seed": given.seed, **numbers})
    raise SystemExit(0 if numbers["is_good"] else 1)


if __name__ == "__main__":
    main()
