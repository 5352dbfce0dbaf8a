"""A service under load: live streams at a rate, and questions at random moments.

How long answers take to begin is measured. Frames are pushed, or come from files at their own pace or over
RTSP. Every frame that was sent must be in a memory or be counted as dropped, and 10 s after the last one
nothing may lag. Exits 1 where that was not so.

    python -m hermes_lab.stress.service --streams 32 --kind rtsp --out results/stress_service_rtsp.json
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal, get_args

import numpy as np

from hermes_lab.stress.record import write_record
from hermes_stream.errors import HermesError, OverloadedError
from hermes_stream.models import VideoModel, load_model
from hermes_stream.service import Service, ServiceSettings
from hermes_stream.service.live_answer import LiveAnswer
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video import write_video
from hermes_stream.video.frame import Frame

Kind = Literal["pushed", "file", "rtsp"]
QUESTIONS = ("what is on screen now?", "what came first?", "was there a circle?")
_RECOVERS_SECONDS = 10.0
_VIDEO_FPS = 8.0
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a service is put under.

    Attributes:
        num_streams: that run at once.
        kind: where their frames come from.
        fps: frames of a stream per second.
        questions_per_second: over all streams, at random moments.
        seconds: how long.
        seed: of questions and moments.
        num_moments: that each answer cites.
    """

    num_streams: int
    kind: Kind
    fps: float
    questions_per_second: float
    seconds: float
    seed: int
    num_moments: int = 3


@dataclass(slots=True)
class Asked:
    """Questions that were asked.

    Attributes:
        answers: of those that were taken.
        num_refused: that were refused because too many were open.
        errors: of those that failed otherwise.
    """

    answers: list[LiveAnswer] = field(default_factory=list)
    num_refused: int = 0
    errors: list[str] = field(default_factory=list)


def run_load(model: VideoModel, load: Load, folder: Path) -> dict[str, Any]:
    """Put a service under load, and return numbers for the record.

    Args:
        model: watches.
        load: what it is put under.
        folder: of the service and of what it watches.
    """
    settings = ServiceSettings(fps=load.fps, max_streams=load.num_streams, max_questions=256)
    with (
        Service(model, folder / "service", settings=settings) as service,
        _watched(service, load, folder) as sent,
    ):
        over, asked, load_before = Event(), Asked(), os.getloadavg()[:1]
        asker = Thread(target=_ask, args=(service, load, asked, over))
        asker.start()
        resident, busy = [], []
        began = time.perf_counter()
        while time.perf_counter() - began < load.seconds:
            time.sleep(min(1.0, load.seconds / 4))
            resident.append(_resident_bytes())
            busy.append(service.capacity().busy_share)
        over.set()
        asker.join()
        sent.stop()
        stopped = time.perf_counter()
        while _lags(service) and time.perf_counter() - stopped < 3 * _RECOVERS_SECONDS:
            time.sleep(0.5)  # to look costs the engine something, too
        recovered_seconds = time.perf_counter() - stopped
        return {
            **_latencies(asked),
            **_frames(service, sent.num_sent),
            "recovered_seconds": recovered_seconds,
            "resident_bytes": [min(resident), max(resident)],
            "load_average": [*load_before, *os.getloadavg()[:1]],
            "busy_share": float(np.mean(busy[len(busy) // 2 :])),
            "is_right": _is_right(service, sent.num_sent, asked, recovered_seconds),
        }


def _ask(service: Service, load: Load, asked: Asked, over: Event) -> None:
    rng = random.Random(load.seed)
    names = [one.name for one in service.streams()]
    while not over.wait(rng.expovariate(load.questions_per_second)):
        try:
            asked.answers.append(
                service.ask(rng.choice(names), rng.choice(QUESTIONS), num_moments=load.num_moments)
            )
        except OverloadedError:
            asked.num_refused += 1
        except HermesError as error:
            asked.errors.append(str(error))
    for answer in asked.answers:
        answer.wait(60)


def _latencies(asked: Asked) -> dict[str, Any]:
    done = [one for one in asked.answers if one.finish_reason in ("stop", "length")]
    percentiles = (50, 90, 99, 100)
    numbers: dict[str, Any] = {"num_answers": len(done), "num_refused": asked.num_refused}
    for name in ("ttft_seconds", "ttft_with_pending_seconds"):
        values = [getattr(one, name) for one in done]
        for share in percentiles:
            numbers[f"{name}_p{share}"] = float(np.percentile(values, share)) if values else None
    return numbers | {"num_errors": len(asked.errors), "errors": asked.errors[:5]}


def _frames(service: Service, num_sent: int | None) -> dict[str, Any]:
    streams = service.streams()
    return {
        "num_sent_frames": num_sent,
        "num_frames": sum(one.num_frames for one in streams),
        "num_dropped_frames": {
            place: sum(getattr(one.dropped, place) for one in streams)
            for place in ("decode", "ring", "engine")
        },
    }


def _is_right(service: Service, num_sent: int | None, asked: Asked, recovered_seconds: float) -> bool:
    streams = service.streams()
    counted = sum(one.num_frames + one.dropped.ring for one in streams)
    return (
        (num_sent is None or counted == num_sent)
        and recovered_seconds < _RECOVERS_SECONDS
        and not asked.errors
        and all(one.is_done for one in asked.answers)
    )


def _lags(service: Service) -> bool:
    return any(one.lag_seconds > 0 for one in service.streams())


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


@dataclass(slots=True)
class _Sending:
    """Frames on their way.

    Attributes:
        stop: ends them.
        num_sent: that a stream was to take; None where nobody counts.
    """

    stop: Callable[[], None]
    num_sent: int | None = None


@contextmanager
def _watched(service: Service, load: Load, folder: Path) -> Iterator[_Sending]:
    """Open streams and let frames come; wait until each has one."""
    names = [f"s{number}" for number in range(load.num_streams)]
    frames = generate_world(load.seed, duration_seconds=60).frames(_VIDEO_FPS)
    if load.kind == "pushed":
        with _pushed(service, load, names, list(frames)) as sending:
            yield sending
        return
    path = folder / "world.mp4"
    write_video(path, frames, fps=_VIDEO_FPS)
    if load.kind == "file":
        yield from _read(service, names, lambda: str(path))
        return
    from hermes_stream.video.rtsp import RtspServer

    with RtspServer() as server:
        address = server.add("world", path, repeat=True)
        yield from _read(service, names, lambda: address)


def _read(service: Service, names: list[str], address: Callable[[], str]) -> Iterator[_Sending]:
    for name in names:
        service.open_stream(name, address())
    _wait_for_frames(service)

    def stop() -> None:
        for served in service._running.registry.all():
            served.stop_feed()

    yield _Sending(stop)


@contextmanager
def _pushed(service: Service, load: Load, names: list[str], pictures: list[Frame]) -> Iterator[_Sending]:
    """Push frames to all streams, evenly over each interval, from a thread of its own."""
    over, sending = Event(), _Sending(lambda: None, num_sent=0)
    for name in names:
        service.open_stream(name)

    def push() -> None:
        began, count = time.perf_counter(), 0
        while not over.is_set():
            number, turn = divmod(count, len(names))
            due = (number + turn / len(names)) / load.fps
            over.wait(max(0.0, began + due - time.perf_counter()))
            picture = pictures[(number * 7 + turn) % len(pictures)].image
            receipt = service.push_frames(names[turn], Frame(pts_seconds=number / load.fps, image=picture))
            sending.num_sent = (sending.num_sent or 0) + receipt.num_accepted
            count += 1

    thread = Thread(target=push)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()

    sending.stop = stop
    try:
        _wait_for_frames(service)
        yield sending
    finally:
        stop()


def _wait_for_frames(service: Service) -> None:
    deadline = time.monotonic() + 60
    while any(one.num_frames == 0 for one in service.streams()):
        if time.monotonic() > deadline:
            raise HermesError("not every stream has a frame after a minute")
        time.sleep(0.1)


def main() -> None:
    """Put a service of the embedded model under load; exit 1 if a frame or an answer is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--kind", choices=get_args(Kind), default="pushed")
    parser.add_argument("--fps", type=float, default=1.0)
    parser.add_argument("--questions-per-second", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--moments", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    load = Load(
        num_streams=given.streams,
        kind=given.kind,
        fps=given.fps,
        questions_per_second=given.questions_per_second,
        seconds=given.seconds,
        seed=given.seed,
        num_moments=given.moments,
    )
    model = load_model("tiny")
    with tempfile.TemporaryDirectory() as folder:
        numbers = run_load(model, load, Path(folder))
    settings = {name: getattr(load, name) for name in Load.__slots__}
    write_record(given.out, "service", settings | numbers)
    raise SystemExit(0 if numbers["is_right"] else 1)


if __name__ == "__main__":
    main()
