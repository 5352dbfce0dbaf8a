"""A day of a service: streams watch a frame a second for 24 hours, at full speed, with standing questions.

Each stream has an alert that is asked every ten seconds, and is asked something else every five minutes.

What the program holds of memory, threads and open files must be as much at the end as after the first hour:
the middle of the last looks beside that of the first, as one look may fall on a snapshot that is written.
Frames are pushed and wait for room, so that none is dropped. Exits 1 where something grew by more than 2 %,
or a frame is missing.

    python -m hermes_lab.stress.service_day --frames 86400 --out results/stress_service_day.json
    python -m hermes_lab.stress.service_day --again results/stress_service_day.json
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from hermes_lab.stress.numbered_frames import picture
from hermes_lab.stress.record import write_record
from hermes_lab.stress.served_program import low_priority
from hermes_stream.models import VideoModel, load_model
from hermes_stream.service import Service, ServiceSettings
from hermes_stream.service.heap import bound_heap
from hermes_stream.service.service_folder import folder_bytes
from hermes_stream.video.frame import Frame

_NUM_SAMPLES = 48
_HOUR_FRAMES = 3600
_MAX_GROWTH = 0.02
_NUM_COMPARED = 4
_ASK_EVERY_FRAMES = 300
_NUM_PICTURES = 997
_ALERT = "is there a red circle now?"
_ALERT_EVERY_SECONDS = 10.0
_CAUGHT_UP_SECONDS = 120.0
_QUESTIONS = ("what came first?", "what is on screen now?", "was there a circle?")
_SETTINGS = ServiceSettings(fps=1.0, snapshot_every_seconds=10.0)
_PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the program holds at one moment.

    Attributes:
        num_frames: of each stream, pushed by then.
        seconds: since the beginning.
        resident_bytes: of the program, everything included.
        folder_bytes: of the data folder: record, pictures, snapshots, journals.
        num_threads: of the program.
        num_files: that it has open.
    """

    num_frames: int
    seconds: float
    resident_bytes: int
    folder_bytes: int
    num_threads: int
    num_files: int


def sample(num_frames: int, seconds: float, folder: Path) -> Sample:
    """Look at this program; Linux only."""
    gc.collect()
    pages = int((_PROC / "statm").read_text(encoding="ascii").split()[1])
    return Sample(
        num_frames=num_frames,
        seconds=seconds,
        resident_bytes=pages * resource.getpagesize(),
        folder_bytes=folder_bytes(folder),
        num_threads=sum(1 for _ in (_PROC / "task").iterdir()),
        num_files=sum(1 for _ in (_PROC / "fd").iterdir()),
    )


def watch_day(
    model: VideoModel,
    folder: Path,
    num_frames: int,
    *,
    num_streams: int = 4,
    num_samples: int = _NUM_SAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Let streams of a service watch so many frames each, a second apart, and ask each every five minutes.

    Args:
        model: watches.
        folder: of the service.
        num_frames: of each stream.
        num_streams: streams.
        num_samples: how often the program is looked at, about.
        seed: of the pictures.
    """
    samples, num_answers, began = [], 0, time.perf_counter()
    sample_every = max(1, num_frames // num_samples)
    names = [f"s{index}" for index in range(num_streams)]
    pictures = [picture(seed, number) for number in range(_NUM_PICTURES)]
    with Service(model, folder, settings=_SETTINGS) as service:
        for name in names:
            service.open_stream(name)
            service.watches.add(name, _ALERT, every_seconds=_ALERT_EVERY_SECONDS)
        for number in range(num_frames):
            for index, name in enumerate(names):
                image = pictures[(number + 7 * index) % _NUM_PICTURES]
                frame = Frame(pts_seconds=float(number), image=image)
                service.push_frames(name, frame, wait_seconds=_CAUGHT_UP_SECONDS)
                if (number + index) % _ASK_EVERY_FRAMES == _ASK_EVERY_FRAMES - 1:
                    question = _QUESTIONS[num_answers % len(_QUESTIONS)]
                    num_answers += bool(service.ask(name, question, max_new_tokens=8).text)
            if (number + 1) % sample_every == 0:
                samples.append(sample(number + 1, time.perf_counter() - began, folder))
                sys.stderr.write(f"{number + 1} frames: {samples[-1].resident_bytes / 1e6:.1f} MB\n")
        _wait_until_folded(service)
        counted = [(one.num_frames, one.dropped.total) for one in service.streams()]
        num_asked = sum([0 if one.stats is None else one.stats.num_asked for one in service.watches.all()])
    return summary(_settled(samples, num_frames)) | {
        "num_streams": num_streams,
        "num_frames": num_frames,
        "num_answers": num_answers,
        "num_times_alerts_were_asked": num_asked,
        "seconds": time.perf_counter() - began,
        "num_missing_frames": sum(num_frames - taken for taken, _ in counted),
        "num_dropped_frames": sum(dropped for _, dropped in counted),
        "samples": [asdict(one) for one in samples],
    }


def _settled(samples: list[Sample], num_frames: int) -> list[Sample]:
    # a short form has no whole hour to leave out
    return [one for one in samples if one.num_frames >= min(_HOUR_FRAMES, num_frames // 2)]


def sum_up_again(path: Path) -> dict[str, Any]:
    """Judge the looks of a stored document anew, write it, and return it."""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    samples = [Sample(**one) for one in stored["samples"]]
    stored |= summary(_settled(samples, stored["num_frames"]))
    path.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    return stored


def _wait_until_folded(service: Service) -> None:
    deadline = time.monotonic() + _CAUGHT_UP_SECONDS
    while any(one.lag_seconds > 0 for one in service.streams()) and time.monotonic() < deadline:
        time.sleep(0.1)


def summary(settled: list[Sample]) -> dict[str, Any]:
    """Return by how much what the program holds has grown, at most at one look, and whether it was flat.

    Args:
        settled: samples after the first hour's worth of frames.
    """
    growth, most = dict[str, float](), dict[str, float]()
    count = max(1, min(_NUM_COMPARED, len(settled) // 2))
    for name in ("resident_bytes", "num_threads", "num_files"):
        held = [getattr(one, name) for one in settled]
        first = median(held[:count])
        growth[name] = median(held[-count:]) / first - 1
        most[name] = max(held) / first - 1
    return {
        "settled_from_frames": settled[0].num_frames,
        "growth": growth,
        "most_at_one_look": most,
        "is_flat": all(one <= _MAX_GROWTH for one in growth.values()),
    }


def main() -> None:
    """Watch a day with the embedded model; exit 1 if something grew or is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=86_400, help="of each stream")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", type=Path, metavar="FILE", help="judge the looks of this document anew")
    given = parser.parse_args()
    if given.again:
        raise SystemExit(0 if sum_up_again(given.again)["is_flat"] else 1)
    bound_heap()  # as `hermes serve` does
    torch.set_num_threads(1)
    low_priority()
    model = load_model("tiny")
    # What cannot be deleted must not cost a day's numbers.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        numbers = watch_day(model, Path(folder), given.frames, num_streams=given.streams, seed=given.seed)
        write_record(given.out, "service_day", {"seed": given.seed, **numbers})
    raise SystemExit(0 if numbers["is_flat"] and not numbers["num_missing_frames"] else 1)


if __name__ == "__main__":
    main()
