"""Watch thousands of damaged videos: python -m hermes_lab.stress.videos --count N --seed S --out JSON.

Each is a small clip of some container and codec, damaged in one to three ways, and watched in another process
with limits. Right is whatever is watched, with damage told or not, or refused in words; wrong is a crash, a
hang, a traceback or too much memory. The same seed makes the same files: ``--only K --keep FOLDER`` writes
one of them. The last line printed is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from hermes_lab.stress.mutations import mutated
from hermes_lab.stress.workers import Limits, Worker, machine
from hermes_stream.cli.machine import versions

DEFAULT_CLIPS = "tests/data/media/kinds"
_WATCHING = "hermes_lab.stress.watching"
_RIGHT = ("watched", "damaged", "refused")
_OPTIONS: tuple[dict[str, Any], ...] = (
    *({"fps": None}, {"fps": 1.0}, {"fps": 25.0}),
    *({"fps": 2.0, "max_image_pixels": 1000}, {"fps": None, "video_stream": 0}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one damaged video went.

    Attributes:
        index: which it is, of its seed.
        clip: what was damaged.
        mutations: how.
        options: arguments of ``FileSource``.
        outcome: watched, damaged or refused; crash, hang, traceback or memory.
        message: what was said, if it was refused or went wrong.
        seconds: time taken.
        peak_bytes: the most memory, 0 where the process died.
    """

    index: int
    clip: str
    mutations: tuple[str, ...]
    options: dict[str, Any]
    outcome: str
    message: str
    seconds: float
    peak_bytes: int


def damaged_video(clips: Sequence[Path], *, seed: int, index: int) -> tuple[Path, bytes, tuple[str, ...]]:
    """Return the clip of an index, its content with damage, and the kinds of damage."""
    rng = np.random.default_rng([seed, index])
    clip = clips[index % len(clips)]
    content, mutations = mutated(clip.read_bytes(), rng)
    return clip, content, mutations


def watch_all(
    clips: Sequence[Path], *, count: int, seed: int, limits: Limits, num_workers: int
) -> Iterator[Outcome]:
    """Damage and watch, several at once, and yield the outcomes in order."""
    idle: SimpleQueue[Worker] = SimpleQueue()
    watchers = [Worker(_WATCHING, limits) for _ in range(num_workers)]
    for watcher in watchers:
        idle.put(watcher)

    def one(index: int) -> Outcome:
        clip, content, mutations = damaged_video(clips, seed=seed, index=index)
        options = _OPTIONS[index // len(clips) % len(_OPTIONS)]
        path = Path(folder) / f"{index}{clip.suffix}"
        path.write_bytes(content)
        watcher = idle.get()
        start_seconds = time.perf_counter()
        try:
            result = watcher.do({"path": str(path), "options": options})
        finally:
            idle.put(watcher)
            path.unlink()
        return Outcome(
            index=index,
            clip=clip.name,
            mutations=mutations,
            options=options,
            outcome=result["outcome"],
            message=result.get("message", "").replace(f"{folder}/", ""),
            seconds=round(time.perf_counter() - start_seconds, 3),
            peak_bytes=result.get("peak_bytes", 0),
        )

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(num_workers) as pool:
        try:
            yield from pool.map(one, range(count))
        finally:
            for watcher in watchers:
                watcher.close()


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return counts, the extremes, and everything that went wrong."""
    wrong = [outcome for outcome in outcomes if outcome.outcome not in _RIGHT]
    return {
        "num_videos": len(outcomes),
        "outcomes": dict(Counter(outcome.outcome for outcome in outcomes).most_common()),
        "clips": {
            clip: dict(Counter(one.outcome for one in outcomes if one.clip == clip))
            for clip in sorted({outcome.clip for outcome in outcomes})
        },
        "slowest": asdict(max(outcomes, key=lambda outcome: outcome.seconds)),
        "largest": asdict(max(outcomes, key=lambda outcome: outcome.peak_bytes)),
        "wrong": [asdict(outcome) for outcome in wrong],
    }


def main() -> None:
    """Read the command line, watch, write and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="videos to damage and watch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the JSON document")
    parser.add_argument("--clips", type=Path, default=Path(DEFAULT_CLIPS), help="folder of sound clips")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="limit of one video")
    parser.add_argument("--megabytes", type=int, default=1000, help="limit of one video")
    parser.add_argument("--only", type=int, help="write the damaged video of this index and stop")
    parser.add_argument("--keep", type=Path, default=Path(), help="folder for it")
    arguments = parser.parse_args()
    clips = sorted(path for path in arguments.clips.iterdir() if path.is_file())
    if arguments.only is not None:
        clip, content, mutations = damaged_video(clips, seed=arguments.seed, index=arguments.only)
        path = arguments.keep / f"{arguments.only}{clip.suffix}"
        path.write_bytes(content)
        sys.stdout.write(f"{path} {' '.join(mutations)}\n")
        return
    limits = Limits(seconds=arguments.seconds, bytes=arguments.megabytes * 10**6)
    outcomes = list(
        watch_all(
            clips, count=arguments.count, seed=arguments.seed, limits=limits, num_workers=arguments.workers
        )
    )
    document = {
        "command": f"python -m hermes_lab.stress.videos --count {arguments.count} --seed {arguments.seed}",
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
