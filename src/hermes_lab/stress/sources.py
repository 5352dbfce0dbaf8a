"""Cameras that die a hundred times: every source must come back, tell the gap, and leave nothing behind.

An RTSP server on this machine is closed, cut off, frozen, or started again with another size or codec, as the
seed has it, while sources read it over TCP and UDP. Exits 1 where one did not come back, a gap was not told,
a time did not increase, or threads or open files grew.

    python -m hermes_lab.stress.sources --deaths 100 --seed 0 --out results/stress_sources.json
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hermes_lab.stress.record import write_record
from hermes_stream.video import Frame, Source, SourceOptions, open_source
from hermes_stream.video.rtsp import RtspServer
from hermes_stream.video.rtsp.packets import Codec

_FPS = 10.0
_SILENT_SECONDS = 1.5
_BACK_SECONDS = 60.0
_SIZES = ((48, 64), (96, 128), (120, 160))
_CODECS: tuple[Codec, ...] = ("h264", "h265", "mjpeg")
_DEATHS = ("closed", "cut off", "frozen", "other size", "other codec")
_PROC = Path("/proc/self")


class Watched:
    """A source that is read in a thread, and what it gave."""

    def __init__(self, address: str, transport: Any) -> None:
        options = SourceOptions(transport=transport, silent_seconds=_SILENT_SECONDS)
        self.source: Source = open_source(address, options)
        self.events: Counter[str] = Counter()
        self.num_frames = self.num_not_later = 0
        self.size: tuple[int, int] | None = None
        self._newest_seconds = -1.0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def stop(self) -> float:
        """Stop it, and return how many seconds that took."""
        began = time.monotonic()
        self.source.stop()
        self._thread.join()
        return time.monotonic() - began

    def _read(self) -> None:
        for item in self.source.read():
            if isinstance(item, Frame):
                self.num_frames += 1
                self.num_not_later += item.pts_seconds <= self._newest_seconds
                self._newest_seconds, self.size = item.pts_seconds, item.size
            else:
                self.events[item.kind.value] += 1


class Camera:
    """An RTSP server that dies in many ways and comes back at the same address."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.size, self.codec = _SIZES[0], _CODECS[0]
        self._server = RtspServer()
        self._add()
        self.port = self._server.port

    @property
    def address(self) -> str:
        """Where it is read."""
        return self._server.url("camera")

    def die(self, kind: str) -> None:
        """Die, and come back after a moment."""
        if kind == "cut off":
            self._server.cut_off()
            return
        if kind == "frozen":
            self._server.freeze()
            time.sleep(2 * _SILENT_SECONDS)
            self._server.freeze(False)
            return
        self._server.close()
        if kind == "other size":
            self.size = self._rng.choice([size for size in _SIZES if size != self.size])
        if kind == "other codec":
            self.codec = self._rng.choice([codec for codec in _CODECS if codec != self.codec])
        time.sleep(self._rng.uniform(0.0, 0.6))
        self._server = RtspServer(port=self.port)
        self._add()

    def close(self) -> None:
        """Die for good."""
        self._server.close()

    def _add(self) -> None:
        self._server.add("camera", _pictures(self.size), fps=_FPS, codec=self.codec, key_frame_seconds=0.5)


def survive(num_deaths: int, *, seed: int, num_sources: int = 4) -> dict[str, Any]:
    """Let a camera die so many times under some sources.

    Args:
        num_deaths: how often.
        seed: of how, and of what it comes back as.
        num_sources: that read it, every second one over UDP.

    Returns:
        Numbers for the record; ``num_wrong`` counts what must not happen.
    """
    rng = random.Random(seed)
    began, idle = time.monotonic(), _held()
    camera = Camera(rng)
    watched = [Watched(camera.address, ("tcp", "udp")[index % 2]) for index in range(num_sources)]
    deaths: Counter[str] = Counter()
    back_seconds: list[float] = []
    wrong: list[str] = []
    held = []
    try:
        _come_back(watched, [0] * num_sources, camera.size)
        for number in range(num_deaths):
            kind = rng.choice(_DEATHS)
            deaths[kind] += 1
            before = [one.events["reconnected"] for one in watched]
            died = time.monotonic()
            camera.die(kind)
            if _come_back(watched, [count + 1 for count in before], camera.size):
                back_seconds.append(time.monotonic() - died)
            else:
                wrong.append(f"death {number}, {kind}: not all came back")
            held.append(_held())
    finally:
        stop_seconds = max(one.stop() for one in watched)
        camera.close()
    for one in watched:
        if one.events["gap"] < one.events["reconnected"]:
            wrong.append(f"{one.events['reconnected']} reconnections, {one.events['gap']} gaps told")
        if one.num_not_later:
            wrong.append(f"{one.num_not_later} frames were not later than those before")
    wrong += _grown(held, idle, stop_seconds)
    return {
        "seed": seed,
        "num_deaths": num_deaths,
        "num_sources": num_sources,
        "deaths": dict(sorted(deaths.items())),
        "num_reconnections": sum(one.events["reconnected"] for one in watched),
        "num_gaps": sum(one.events["gap"] for one in watched),
        "num_frames": sum(one.num_frames for one in watched),
        "back_seconds_median": float(np.median(back_seconds)) if back_seconds else None,
        "back_seconds_max": max(back_seconds, default=None),
        "stop_seconds": stop_seconds,
        "seconds": time.monotonic() - began,
        "num_threads": sorted({one["num_threads"] for one in held}),
        "num_files": sorted({one["num_files"] for one in held}),
        "resident_bytes": [held[len(held) // 10]["resident_bytes"], held[-1]["resident_bytes"]],
        "left": {name: _held()[name] - idle[name] for name in ("num_threads", "num_files")},
        "num_wrong": len(wrong),
        "wrong": wrong,
    }


def _come_back(watched: list[Watched], num_reconnections: list[int], size: tuple[int, int]) -> bool:
    """Wait until all were connected again as often, and show pictures of a size."""
    deadline = time.monotonic() + _BACK_SECONDS
    frames = [one.num_frames for one in watched]
    while time.monotonic() < deadline:
        if all(
            one.events["reconnected"] >= wanted and one.num_frames > count and one.size == size
            for one, wanted, count in zip(watched, num_reconnections, frames, strict=True)
        ):
            return True
        time.sleep(0.02)
    return False


def _grown(held: list[dict[str, int]], idle: dict[str, int], stop_seconds: float) -> Iterator[str]:
    """Say what grew or was left."""
    time.sleep(0.2)
    left = _held()
    for name in ("num_threads", "num_files"):
        if left[name] > idle[name]:
            yield f"{name} was {idle[name]} before and {left[name]} after"
    early, late = held[len(held) // 10]["resident_bytes"], held[-1]["resident_bytes"]
    if late > 1.1 * early + 2**24:
        yield f"resident memory grew from {early} to {late} bytes"
    if stop_seconds >= 1:
        yield f"stopping took {stop_seconds:.2f} s"


def _held() -> dict[str, int]:
    gc.collect()
    pages = int((_PROC / "statm").read_text().split()[1])
    return {
        "num_threads": threading.active_count(),
        "num_files": sum(1 for _ in (_PROC / "fd").iterdir()),
        "resident_bytes": pages * resource.getpagesize(),
    }


def _pictures(size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    shade = 0
    while True:
        shade = (shade + 10) % 250
        yield np.full((*size, 3), shade, np.uint8)


def main() -> None:
    """Let a camera die, write the record; exit 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deaths", type=int, default=100)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    numbers = survive(given.deaths, seed=given.seed, num_sources=given.sources)
    write_record(given.out, "sources", numbers)
    raise SystemExit(1 if numbers["num_wrong"] else 0)


if __name__ == "__main__":
    main()
