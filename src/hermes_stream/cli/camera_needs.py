"""How many cameras one machine watches at once, and what limits them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np

from hermes_stream.cli.output import size
from hermes_stream.stream import Session
from hermes_stream.stream.capacity import num_streams_in_time
from hermes_stream.stream.queue_limits import QueueLimits
from hermes_stream.video.frame import Frame

_MAX_WARM_UP_FRAMES = 512
_MEASURED_CHUNKS = 3
_HEIGHT, _WIDTH = 360, 640
_QUESTION = "what is seen now?"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraNeeds:
    """Cameras that fit, as measured on one stream on this machine, now.

    Attributes:
        num_cameras: that were asked for.
        fps: frames a second that each gives.
        num_watches: standing questions of each, every one asked once a second.
        frame_seconds: what a frame takes, encoded, folded in, its share of compressions included; a camera's
            decoding comes on top.
        watch_seconds: what it takes to ask once.
        stream_bytes: what the memory of one takes, with the frames that wait where they lie beside it.
        num_by_memory: cameras that memory has room for; None where the device does not tell.
        num_by_time: cameras that there is time for; a tenth of it is left to people's questions.
    """

    num_cameras: int
    fps: float
    num_watches: int
    frame_seconds: float
    watch_seconds: float
    stream_bytes: int
    num_by_memory: int | None
    num_by_time: int

    @property
    def num_that_fit(self) -> int:
        """Cameras that fit."""
        return self.num_by_time if self.num_by_memory is None else min(self.num_by_memory, self.num_by_time)

    @property
    def limit(self) -> str:
        """What refuses one more, in words."""
        if self.num_by_memory is not None and self.num_by_memory < self.num_by_time:
            return (
                f"memory: a stream takes {size(self.stream_bytes)}; lower --budget-tokens or --chunk-frames"
            )
        frame = f"a frame takes {1000 * self.frame_seconds:.3g} ms"
        watch = f", a watch {1000 * self.watch_seconds:.3g} ms" * bool(self.num_watches)
        return f"time: {frame}{watch}; lower --fps, or raise --chunk-frames"

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        fits = self.num_cameras <= self.num_that_fit
        return {**asdict(self), "num_that_fit": self.num_that_fit, "fits": fits, "limit": self.limit}

    def line(self) -> str:
        """Say whether they fit."""
        verdict = "fit" if self.num_cameras <= self.num_that_fit else "DO NOT fit"
        watches = f" and {self.num_watches} watches" * bool(self.num_watches)
        return (
            f"{self.num_cameras} at {self.fps:g} frames a second{watches} each {verdict}: room for "
            f"{self.num_that_fit}; the limit is {self.limit}"
        )


def measure_cameras(
    session: Session,
    *,
    num_cameras: int,
    fps: float | None,
    num_watches: int,
    free_bytes: int | None,
) -> CameraNeeds:
    """Watch noise until the memory is full, and time what follows: some seconds with the shipped model.

    Args:
        session: as each camera's would be; has seen nothing yet.
        num_cameras: that are asked for.
        fps: frames a second of each; None is the model's.
        num_watches: standing questions of each.
        free_bytes: of the device, with the model loaded; None is unknown.
    """
    model = session.model
    fps = fps or model.card.default_fps
    frames = _noise(fps)
    for _ in range(_MAX_WARM_UP_FRAMES):
        session.observe(next(frames))
        if session.stats.num_compressions and not session.stats.num_pending_frames:
            break
    shown = list(islice(frames, _MEASURED_CHUNKS * session.chunk_frames))  # before the clock runs
    began = time.perf_counter()
    session.observe(shown)
    frame_seconds = (time.perf_counter() - began) / len(shown)
    watch_seconds = 0.0
    if num_watches:
        answers = [session.ask(_QUESTION, max_new_tokens=1) for _ in range(3)]
        watch_seconds = min(one.ttft_seconds for one in answers if one.text is not None)
    stats = session.stats
    waiting = (
        QueueLimits.of(model, session.chunk_frames).num_bytes if model.layout.device.type == "cpu" else 0
    )
    stream_bytes = stats.cache_bytes + waiting
    return CameraNeeds(
        num_cameras=num_cameras,
        fps=fps,
        num_watches=num_watches,
        frame_seconds=frame_seconds,
        watch_seconds=watch_seconds,
        stream_bytes=stream_bytes,
        num_by_memory=None if free_bytes is None else free_bytes // stream_bytes,
        num_by_time=num_streams_in_time(fps * frame_seconds + num_watches * watch_seconds),
    )


def _noise(fps: float) -> Iterator[Frame]:
    rng, number = np.random.default_rng(0), 0
    while True:
        image = rng.integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
        yield Frame(pts_seconds=number / fps, image=image)
        number += 1
