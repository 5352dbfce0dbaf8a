"""Load test: how many frames go in, and how long questions wait, with many streams on one model.

Each number of streams is tested twice. At full load frames come as fast as they are taken, without questions:
that tells what the engine can take. In real time each stream gets one frame a second and questions come at
random moments: that tells how long a question waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from statistics import quantiles
from typing import Any, NamedTuple, final

import numpy as np

from hermes_lab.bench.latency import Store
from hermes_lab.bench.latency_row import Row
from hermes_lab.bench.peak_memory import graph_pools, measure_peak
from hermes_lab.bench.turns import FAILURES
from hermes_lab.bench.workload import Workload
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.stream import Answer
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.stats import StageClock

_ARRIVAL_FPS = 1.0
_ASK_EVERY_SECONDS = 10.0
_MIN_IDLE_SHARE = 0.02
_WARM_UP_CHUNKS = 2
_TIMED_CHUNKS = 4
_MAX_TIMED_CHUNKS = 64  # of all streams, but each has one


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTest:
    """Puts many streams of one policy under load.

    Attributes:
        model: answers the questions.
        policy: what each memory keeps.
        workload: what each stream observes and is asked.
        chunk_frames: frames that enter a memory together.
        kv_bits: 8 keeps keys and values in 8 bits.
        defers_compression: let a question behind a frame go before its compression.
        seconds: of each of the two tests, above 0.
        seed: of the moments of questions.
        streams_per_block: see ``Engine``.
    """

    model: VideoModel
    policy: MemoryPolicy
    workload: Workload
    chunk_frames: int = 16
    kv_bits: int | None = None
    defers_compression: bool = False
    seconds: float
    seed: int = 0
    streams_per_block: int = 1

    def run(
        self, stream_counts: Sequence[int], *, store: Store | None = None
    ) -> tuple[list[Row], list[dict[str, Any]]]:
        """Test each number of streams, one after the other.

        Args:
            stream_counts: how many streams at once, each at least 1.
            store: called with what was measured so far behind each number of streams.

        Returns:
            What was measured with each number; which numbers were refused or failed, and why. Keys of a row:

            - ``fps_total``, ``fps_per_stream``: frames per second that go in at full load.
            - ``arrival_fps``: frames per second that came to each stream in real time; ``num_frames``,
              ``num_questions``: that came in all.
            - ``ttft_median_seconds``, ``ttft_p99_seconds``: from the moment at which a question came to its
              first token, waiting frames folded in; None without a question. With fewer than a hundred the
              percentile is the longest.
            - ``compress_share``: of the time in which chunks are folded in, what compression takes, guidance
              prompts included; timed apart, since a device is then waited for at every stage.
            - ``idle_share``: of the real time, without anything to do; ``max_waiting_frames``: of one stream
              at its end.
            - ``keeps_up``: there was idle time, and no stream was a whole chunk behind at the end.
            - ``bytes_per_stream``: buffers of each; ``peak_bytes``: buffers of all, and the most that is
              added when a whole chunk and a question come to every stream at the same moment;
              ``graph_pool_bytes``: that captured forwards keep besides, in use or not.
        """
        rows: list[Row] = []
        refused: list[dict[str, Any]] = []
        for num_streams in stream_counts:
            engine = Engine(self.model, streams_per_block=self.streams_per_block)
            try:
                for _ in range(num_streams):
                    engine.add(
                        self.policy,
                        chunk_frames=self.chunk_frames,
                        kv_bits=self.kv_bits,
                        defers_compression=self.defers_compression,
                        overflow="drop_oldest",
                        guidance_from_questions=True,
                    )
                rows.append(_Load(self, engine).measure())
            except FAILURES as error:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                refused.append({"num_streams": num_streams, "reason": reason})
            for handle in engine.streams:
                handle.close()
            if store is not None:
                store(rows, refused)
        return rows, refused


class _Event(NamedTuple):
    """A frame or a question that comes to a stream, in seconds from the beginning."""

    seconds: float
    stream: int
    is_question: bool


@final
class _Load:
    """The streams of an engine, and what comes to them."""

    def __init__(self, test: LoadTest, engine: Engine) -> None:
        self._test, self._engine, self._streams = test, engine, engine.streams
        self._chunk_frames = self._streams[0].stream.chunk_frames
        self._num_observed = [0] * len(self._streams)
        self._unanswered: list[tuple[float, Answer]] = []
        self._ttft_seconds: list[float] = []

    def measure(self) -> Row:
        """Run both tests."""
        self._fill()
        fps_total, compress_share = self._full_load(), self._compress_share()
        num_before = sum(self._num_observed)
        idle_share = self._real_time()
        max_waiting = max(len(handle.stream.intake.waiting) for handle in self._streams)
        num_frames, ttft = sum(self._num_observed) - num_before, sorted(self._ttft_seconds)
        num_streams, used_bytes = len(self._streams), self._engine.used_bytes
        device = self._engine.model.layout.device
        return {
            "num_streams": num_streams,
            "fps_total": fps_total,
            "fps_per_stream": fps_total / num_streams,
            "arrival_fps": _ARRIVAL_FPS,
            "num_frames": num_frames,
            "num_questions": len(ttft),
            "ttft_median_seconds": ttft[len(ttft) // 2] if ttft else None,
            "ttft_p99_seconds": _percentile_99(ttft) if ttft else None,
            "compress_share": compress_share,
            "idle_share": idle_share,
            "max_waiting_frames": max_waiting,
            # Up to a chunk always waits for its last frame; a second one means that work was left undone.
            "keeps_up": idle_share > _MIN_IDLE_SHARE and max_waiting < 2 * self._chunk_frames,
            "bytes_per_stream": used_bytes // num_streams,
            "peak_bytes": used_bytes + measure_peak(device, self._all_at_once),
            "graph_pool_bytes": graph_pools(device).reserved_bytes,
        }

    def _fill(self) -> None:
        """Fill every memory, and leave streams at different points of their chunks, as in real time."""
        for index in range(len(self._streams)):
            self._observe(index, _WARM_UP_CHUNKS * self._chunk_frames)
            self._engine.run()
            self._observe(index, index * self._chunk_frames // len(self._streams))

    def _full_load(self) -> float:
        """Keep a full chunk waiting at every stream; return the frames that go in per second."""
        before, began = self._num_folded, time.perf_counter()
        while time.perf_counter() < began + self._test.seconds:
            for index, handle in enumerate(self._streams):
                self._observe(index, max(self._chunk_frames - len(handle.stream.intake.waiting), 0))
            self._engine.step()
        self._engine.run()
        return (self._num_folded - before) / (time.perf_counter() - began)

    @property
    def _num_folded(self) -> int:
        every = [handle.stream.stats for handle in self._streams]
        return sum(stats.num_frames - stats.num_pending_frames for stats in every)

    def _compress_share(self) -> float:
        """Give every stream a few chunks; return the share of compression."""
        clock = StageClock(self._engine.model.layout.device)
        self._engine.executor.stages = clock
        for _ in range(max(1, min(_TIMED_CHUNKS, _MAX_TIMED_CHUNKS // len(self._streams)))):
            for index in range(len(self._streams)):
                self._observe(index, self._chunk_frames)
            self._engine.run()
        self._engine.executor.stages = None
        return clock.seconds.get("compress", 0.0) / sum(clock.seconds.values())

    def _real_time(self) -> float:
        """Let frames and questions come at their moments; return the share of the time that was idle."""
        began, idle_seconds = time.perf_counter(), 0.0
        for event in self._events():
            due = began + event.seconds
            while (left := due - time.perf_counter()) > 0:
                if not self._step():
                    time.sleep(left)
                    idle_seconds += left
            if event.is_question:
                self._unanswered.append((due, self._ask(event.stream)))
            else:
                self._observe(event.stream, 1)
        while self._unanswered:
            self._step()
        return idle_seconds / (time.perf_counter() - began)

    def _events(self) -> Iterator[_Event]:
        """Yield what comes in real time, in order; streams are out of step.

        Two questions to a stream are 10 seconds apart in the mean, half as much more or less; few streams are
        asked more often, so that there is one question a second in all.
        """
        count, seconds = len(self._streams), self._test.seconds
        frames = (
            _Event((k + index / count) / _ARRIVAL_FPS, index, is_question=False)
            for k in range(int(seconds * _ARRIVAL_FPS) + 1)
            for index in range(count)
        )
        mean, rng = min(_ASK_EVERY_SECONDS, float(count)), np.random.default_rng(self._test.seed)
        gaps = mean * rng.uniform(0.5, 1.5, size=(count, int(2 * seconds / mean) + 2))
        gaps[:, 0] = rng.uniform(0, mean, size=count)
        moments = gaps.cumsum(axis=1).tolist()
        questions = sorted(
            _Event(moment, index, is_question=True) for index, own in enumerate(moments) for moment in own
        )
        return (event for event in merge(frames, questions) if event.seconds < seconds)

    def _step(self) -> bool:
        """Do the engine's next step, and time the answers that begin with it."""
        went_on, now = self._engine.step(), time.perf_counter()
        self._ttft_seconds += [now - due for due, answer in self._unanswered if answer.has_begun]
        self._unanswered = [(due, answer) for due, answer in self._unanswered if not answer.has_begun]
        return went_on

    def _all_at_once(self) -> None:
        """Let a whole chunk and a question come to every stream at the same moment."""
        for index in range(len(self._streams)):
            self._observe(index, self._chunk_frames)
            self._ask(index)
        self._engine.run()

    def _ask(self, index: int) -> Answer:
        workload = self._test.workload
        return self._streams[index].ask(workload.question, max_new_tokens=workload.new_tokens)

    def _observe(self, index: int, count: int) -> None:
        self._streams[index].observe(self._test.workload.frames(self._num_observed[index], count))
        self._num_observed[index] += count


def _percentile_99(ordered: Sequence[float]) -> float:
    if len(ordered) < 100:
        return ordered[-1]
    return quantiles(ordered, n=100, method="inclusive")[98]
