"""One stream of a benchmark: a session whose chunks and questions are timed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import final

from hermes_lab.bench.peak_memory import graph_pools, measure_peak
from hermes_lab.bench.workload import Workload
from hermes_stream.stream import Session
from hermes_stream.stream.stats import Stage, StageClock, synchronize

_READ_EVERY = 5


@final
@dataclass(slots=True, kw_only=True, eq=False)
class TimedStream:
    """A session that observes the workload's frames and is asked its question.

    Attributes:
        policy: name of what the memory keeps.
        num_frames: frames to observe before the first question.
        session: has observed nothing yet.
        workload: what it observes and is asked.
        clock: separates the stages of the session.
        max_positions: positions that the model was made for.
        num_observed: frames observed so far.
        chunk_seconds: number of frames of each chunk, and the time to fold them in.
        stage_seconds: of all chunks together, by stage.
        ttft_seconds: of each question that nothing waited for.
        ttft_from_arrival_seconds: of each question that came right behind a frame, the frame folded in.
        seconds_per_token: of each answer that was read, after its first token.
        question_seconds: that all questions took together.
        peak: ``peak_bytes`` and ``graph_pool_bytes`` of a row, once they are measured.
        beyond_positions: whether a question stood behind the positions that the model was made for.
    """

    policy: str
    num_frames: int
    session: Session
    workload: Workload
    clock: StageClock
    max_positions: int
    num_observed: int = 0
    chunk_seconds: list[tuple[int, float]] = field(default_factory=list)
    stage_seconds: dict[Stage, float] = field(default_factory=dict)
    ttft_seconds: list[float] = field(default_factory=list)
    ttft_from_arrival_seconds: list[float] = field(default_factory=list)
    seconds_per_token: list[float] = field(default_factory=list)
    question_seconds: float = 0.0
    peak: dict[str, int] = field(default_factory=dict)
    beyond_positions: bool = False

    def observe_chunk(self) -> None:
        """Fold in the next chunk before the first question."""
        if not self.num_observed:
            self.clock.seconds.clear()  # it has counted the prefix, which belongs to no chunk
        count = min(self.session.chunk_frames, self.num_frames - self.num_observed)
        began = time.perf_counter()
        self._observe(count)
        self._fold()
        self.chunk_seconds.append((count, time.perf_counter() - began))
        self.stage_seconds = dict(self.clock.seconds)

    def ask(self, *, is_timed: bool = True) -> None:
        """Ask with nothing waiting; read the whole answer the first time, and every fifth time after.

        Args:
            is_timed: whether the times are kept; a warm-up's are not.
        """
        if self.session.policy.rebuilds_at_question:
            # Without a new frame it would answer from what the last question built.
            self._observe(1)
            self._fold()
        began = time.perf_counter()
        is_read = len(self.ttft_seconds) % _READ_EVERY == 0
        new_tokens = self.workload.new_tokens if is_read else 1
        answer = self.session.ask(self.workload.question, max_new_tokens=new_tokens)
        first = time.perf_counter()
        answer.text  # noqa: B018 - reads the answer to its end
        ended = time.perf_counter()
        end = self.session.cache.next_position + self.workload.question_tokens + self.workload.new_tokens
        self.beyond_positions |= end > self.max_positions
        if not is_timed:
            return
        self.question_seconds += ended - began
        self.ttft_seconds.append(answer.ttft_seconds)
        if is_read:
            self.seconds_per_token.append((ended - first) / (len(answer.token_ids) - 1))

    def ask_on_arrival(self) -> None:
        """Observe a frame, and ask at once."""
        began = time.perf_counter()
        self._observe(1)
        answer = self.session.ask(self.workload.question, max_new_tokens=1)
        self.ttft_from_arrival_seconds.append(time.perf_counter() - began)
        answer.close()
        self.question_seconds += self.ttft_from_arrival_seconds[-1]

    def measure_peak(self) -> None:
        """Measure the most that the stream takes: its buffers, and what a chunk and a question add."""
        device, held_bytes = self.session.model.layout.device, self.session.stats.cache_bytes
        self.peak = {"peak_bytes": held_bytes + measure_peak(device, self._observe_and_ask)}
        self.peak["graph_pool_bytes"] = graph_pools(device).reserved_bytes

    def _observe_and_ask(self) -> None:
        self._observe(self.session.chunk_frames)
        self.ask(is_timed=False)

    def _observe(self, count: int) -> None:
        self.session.observe(self.workload.frames(self.num_observed, count))
        self.num_observed += count

    def _fold(self) -> None:
        self.session.flush()
        synchronize(self.session.model.layout.device)
