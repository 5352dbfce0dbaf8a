"""A day: one session watches a frame a second for 24 hours, at full speed, and is asked now and then.

What the program holds of memory, threads and open files must be as much at the end as near the beginning.
Exits 1 where memory was not flat within 2 %.

    python -m hermes_lab.stress.day --frames 86400 --out results/stress_day.json
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hermes_lab.stress.record import write_record
from hermes_stream.models import VideoModel, load_model
from hermes_stream.stream import Session
from hermes_stream.video.frame import Frame

_SIDE = 64
_NUM_SAMPLES = 100
_WARM_UP_SHARE = 0.1
_MAX_GROWTH = 0.02
_ASK_EVERY_FRAMES = 300
_QUESTIONS = ("what came first?", "what is on screen now?", "was there a circle?")
_PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the program holds at one moment.

    Attributes:
        num_frames: watched by then.
        resident_bytes: of the program, everything included.
        cache_bytes: of the stream's buffers.
        num_threads: of the program.
        num_files: that it has open.
    """

    num_frames: int
    resident_bytes: int
    cache_bytes: int
    num_threads: int
    num_files: int

    @classmethod
    def of(cls, session: Session) -> Sample:
        """Look at this program; Linux only."""
        gc.collect()
        pages = int((_PROC / "statm").read_text().split()[1])
        stats = session.stats
        return cls(
            num_frames=stats.num_frames,
            resident_bytes=pages * resource.getpagesize(),
            cache_bytes=stats.cache_bytes,
            num_threads=sum(1 for _ in (_PROC / "task").iterdir()),
            num_files=sum(1 for _ in (_PROC / "fd").iterdir()),
        )


def watch_day(model: VideoModel, num_frames: int, *, seed: int = 0) -> dict[str, Any]:
    """Watch so many frames, a second apart, and ask every five minutes.

    Args:
        model: watches.
        num_frames: at least 200.
        seed: of the pictures.

    Returns:
        Numbers for the record; ``growth`` is by how much the most that was resident after the first tenth is
        above the least, as a share of it.
    """
    session, rng = Session(model), np.random.default_rng(seed)
    samples, began = [], time.perf_counter()
    sample_every, num_questions = max(1, num_frames // _NUM_SAMPLES), 0
    for index in range(num_frames):
        blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = blocks.repeat(_SIDE // 4, axis=0).repeat(_SIDE // 4, axis=1)
        session.observe(Frame(pts_seconds=float(index), image=image))
        if index % _ASK_EVERY_FRAMES == _ASK_EVERY_FRAMES - 1:
            assert session.ask(_QUESTIONS[num_questions % len(_QUESTIONS)]).text is not None
            num_questions += 1
        if (index + 1) % sample_every == 0:
            samples.append(Sample.of(session))
    settled = samples[int(len(samples) * _WARM_UP_SHARE) :]
    resident = [sample.resident_bytes for sample in settled]
    return {
        "num_frames": num_frames,
        "num_questions": num_questions,
        "seconds": time.perf_counter() - began,
        "growth": max(resident) / min(resident) - 1,
        "is_flat": max(resident) <= (1 + _MAX_GROWTH) * min(resident),
        "thread_counts": sorted({sample.num_threads for sample in settled}),
        "file_counts": sorted({sample.num_files for sample in settled}),
        "samples": [asdict(sample) for sample in samples],
    }


def main() -> None:
    """Watch a day with the embedded model; exit 1 if memory grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=86_400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model = load_model("tiny")
    numbers = watch_day(model, given.frames, seed=given.seed)
    write_record(given.out, "day", {"seed": given.seed, **numbers})
    raise SystemExit(0 if numbers["is_flat"] else 1)


if __name__ == "__main__":
    main()
