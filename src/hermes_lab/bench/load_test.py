"""Many streams of one model at once: how many pictures go in, and how long questions wait meanwhile.

Two phases for each number of streams. In the first, pictures come as fast as they are taken, and nobody asks:
it tells what the engine can take. In the second they come at one a second to each stream, in real time, and
questions come at random moments: it tells how long a question waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from statistics import quantiles
from typing import final

import numpy as np

from hermes_lab.bench.fixed_question import Asking
from hermes_lab.bench.generated_frames import Footage
from hermes_lab.bench.peak import measure_peak
from hermes_stream.errors import CapacityError
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.stream import Answer
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.handle import StreamHandle
from hermes_stream.stream.stats import StageClock

_ARRIVAL_FPS = 1.0
_IDLE_SHARE = 0.02
_WARM_UP_CHUNKS = 2
_TIMED_CHUNKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What streams are put under.

    Attributes:
        policy: what each memory keeps.
        chunk_frames: pictures that enter a memory together.
        kv_bits: 8 keeps keys and values in 8 bits.
        asking: every question.
        seconds: of each of the two phases, above 0.
        ask_every_seconds: between two questions to one stream, on average, half as much more or less; few
            streams are asked more often, so that there is one question a second in all.
        seed: of the moments of questions.
    """

    policy: MemoryPolicy
    chunk_frames: int
    kv_bits: int | None = None
    asking: Asking
    seconds: float
    ask_every_seconds: float = 10.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRow:
    """What was measured with so many streams.

    Attributes:
        num_streams: that were open at once.
        fps_total: pictures per second that all streams take together, as fast as they can, nobody asking.
        fps_per_stream: the same for each.
        arrival_fps: pictures per second that came to each stream in real time.
        num_frames: that came in that time.
        num_questions: that were asked in that time.
        ttft_median_seconds: from the moment at which a question came to its first token, frames that waited
            folded in, with all streams running; None without a question.
        ttft_p99_seconds: 99th percentile of the same, the longest where there are fewer than a hundred.
        compress_share: of the time in which chunks are taken in, what choosing and moving takes, guidance
            prompts included; measured apart, since a device is then waited for at every stage.
        idle_share: of that time in which there was nothing to do.
        max_waiting_frames: of one stream at the end; less than a chunk where every chunk is taken in.
        keeps_up: there was idle time, and no stream was behind by a whole chunk at the end.
        bytes_per_stream: buffers of each.
        peak_bytes: buffers of all, and the most that the engine takes beside them when a whole chunk and a
            question come to every stream at the same moment.
    """

    num_streams: int
    fps_total: float
    fps_per_stream: float
    arrival_fps: float
    num_frames: int
    num_questions: int
    ttft_median_seconds: float | None
    ttft_p99_seconds: float | None
    compress_share: float
    idle_share: float
    max_waiting_frames: int
    keeps_up: bool
    bytes_per_stream: int
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A number of streams that the engine has no room for, and why."""

    num_streams: int
    reason: str


def measure_load(
    model: VideoModel,
    stream_counts: Sequence[int],
    load: Load,
    footage: Footage,
    on_progress: Callable[[str], None] = lambda _: None,
) -> tuple[list[LoadRow], list[Refused]]:
    """Measure each number of streams, one after the other.

    Args:
        model: answers the questions.
        stream_counts: how many streams at once, each at least 1.
        load: what they are put under.
        footage: what they watch.
        on_progress: is told what is being done.
    """
    rows, refused = [], []
    for count in stream_counts:
        on_progress(f"{count} streams")
        engine = Engine(model)
        try:
            channels = [
                engine.add(
                    load.policy,
                    chunk_frames=load.chunk_frames,
                    kv_bits=load.kv_bits,
                    overflow="drop_oldest",
                )
                for _ in range(count)
            ]
        except CapacityError as error:
            refused.append(Refused(num_streams=count, reason=str(error)))
        else:
            rows.append(_Crowd(engine, channels, load, footage).measure())
        for channel in engine.streams:
            channel.close()
    return rows, refused


@final
class _Crowd:
    """The streams of an engine, and what comes to them."""

    def __init__(
        self, engine: Engine, channels: Sequence[StreamHandle], load: Load, footage: Footage
    ) -> None:
        self._engine, self._channels, self._load, self._footage = engine, channels, load, footage
        self._num_shown = [0] * len(channels)
        self._due: list[tuple[float, Answer]] = []
        self._waited: list[float] = []

    def measure(self) -> LoadRow:
        """Run both phases."""
        self._warm_up()
        fps_total, compress_share = self._flood(), self._compress_share()
        shown_before = sum(self._num_shown)
        idle_share = self._live(self._load.seconds)
        max_waiting = max(len(channel.stream.intake.waiting) for channel in self._channels)
        num_frames, waited = sum(self._num_shown) - shown_before, sorted(self._waited)
        count, chunk_frames = len(self._channels), self._channels[0].stream.chunk_frames
        used_bytes = self._engine.used_bytes
        return LoadRow(
            num_streams=count,
            fps_total=fps_total,
            fps_per_stream=fps_total / count,
            arrival_fps=_ARRIVAL_FPS,
            num_frames=num_frames,
            num_questions=len(waited),
            ttft_median_seconds=waited[len(waited) // 2] if waited else None,
            ttft_p99_seconds=_percentile(waited, 99),
            compress_share=compress_share,
            idle_share=idle_share,
            max_waiting_frames=max_waiting,
            keeps_up=idle_share > _IDLE_SHARE and max_waiting < 2 * chunk_frames,
            bytes_per_stream=used_bytes // count,
            peak_bytes=used_bytes + measure_peak(self._engine.model.layout.device, self._all_at_once),
        )

    def _warm_up(self) -> None:
        """Fill every memory; streams then stand at different places of their chunks, as they would."""
        for index, channel in enumerate(self._channels):
            chunk_frames = channel.stream.chunk_frames
            self._show(index, _WARM_UP_CHUNKS * chunk_frames)
            self._engine.run()
            self._show(index, index * chunk_frames // len(self._channels))

    def _flood(self) -> float:
        """Let every stream have a full chunk waiting for a time, and finish; return the pictures a second."""
        before, began = self._num_folded, time.perf_counter()
        while time.perf_counter() < began + self._load.seconds:
            for index, channel in enumerate(self._channels):
                missing = channel.stream.chunk_frames - len(channel.stream.intake.waiting)
                self._show(index, max(missing, 0))
            self._engine.step()
        self._engine.run()
        return (self._num_folded - before) / (time.perf_counter() - began)

    def _compress_share(self) -> float:
        """Give every stream a few chunks; return the share of compression."""
        clock = StageClock(self._engine.model.layout.device)
        self._engine.executor.stages = clock
        for _ in range(_TIMED_CHUNKS):
            for index, channel in enumerate(self._channels):
                self._show(index, channel.stream.chunk_frames)
            self._engine.run()
        self._engine.executor.stages = None
        return clock.seconds.get("compress", 0.0) / sum(clock.seconds.values())

    @property
    def _num_folded(self) -> int:
        every = [channel.stream.stats for channel in self._channels]
        return sum(stats.num_frames - stats.num_pending_frames for stats in every)

    def _live(self, seconds: float) -> float:
        """Let pictures and questions come in real time; return the share of it that was idle."""
        began, idle = time.perf_counter(), 0.0
        for moment, index, is_question in self._arrivals(seconds):
            due = began + moment
            while (left := due - time.perf_counter()) > 0:
                if not self._step():
                    time.sleep(left)
                    idle += left
            if is_question:
                asking = self._load.asking
                answer = self._channels[index].ask(asking.question, max_new_tokens=asking.new_tokens)
                self._due.append((due, answer))
            else:
                self._show(index, 1)
        while self._due:
            self._step()
        return idle / (time.perf_counter() - began)

    def _all_at_once(self) -> None:
        """Let a whole chunk and a question come to every stream at the same moment."""
        for index, channel in enumerate(self._channels):
            self._show(index, channel.stream.chunk_frames)
            channel.ask(self._load.asking.question, max_new_tokens=self._load.asking.new_tokens)
        self._engine.run()

    def _arrivals(self, seconds: float) -> Iterator[tuple[float, int, bool]]:
        """Yield what comes in order of time: when, to which stream, and whether it is a question."""
        count, rng = len(self._channels), np.random.default_rng(self._load.seed)
        frames = (
            ((k + index / count) / _ARRIVAL_FPS, index, False)
            for k in range(int(seconds * _ARRIVAL_FPS) + 1)
            for index in range(count)
        )
        mean = min(self._load.ask_every_seconds, float(count))
        gaps = mean * rng.uniform(0.5, 1.5, size=(count, int(2 * seconds / mean) + 2))
        gaps[:, 0] = rng.uniform(0, mean, size=count)
        moments = gaps.cumsum(axis=1).tolist()
        questions = sorted((moment, index, True) for index, own in enumerate(moments) for moment in own)
        return (one for one in merge(frames, questions) if one[0] < seconds)

    def _step(self) -> bool:
        """Do the engine's next step, and note whose first token has come."""
        went_on, now = self._engine.step(), time.perf_counter()
        self._waited += [now - due for due, answer in self._due if answer.has_begun]
        self._due = [(due, answer) for due, answer in self._due if not answer.has_begun]
        return went_on

    def _show(self, index: int, count: int) -> None:
        self._channels[index].observe(self._footage.frames(self._num_shown[index], count))
        self._num_shown[index] += count


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    if len(ordered) < 100:
        return ordered[-1] if ordered else None
    return quantiles(ordered, n=100, method="inclusive")[percent - 1]
