"""One memory at one length of stream in a measurement of speed, and all that was timed of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import quantiles
from typing import final

from hermes_lab.bench.fixed_question import Asking
from hermes_lab.bench.generated_frames import Footage
from hermes_lab.bench.peak import measure_peak
from hermes_lab.bench.roofline import synchronize
from hermes_stream.stream import Session
from hermes_stream.stream.stats import Stage, StageClock

_QUESTIONS_PER_ANSWER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A time that was measured several times: the median and the quartiles, in seconds."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float]) -> Spread:
        """Return the spread of at least one time."""
        if len(seconds) == 1:
            return cls(middle=seconds[0], low=seconds[0], high=seconds[0])
        low, middle, high = quantiles(seconds, n=4, method="inclusive")
        return cls(middle=middle, low=low, high=high)


@final
class Lane:
    """A session that is fed with footage and asked, every call timed.

    Args:
        policy: name of the memory.
        num_frames: pictures that it watches before it is asked.
        session: has seen nothing yet.
        footage: what it watches.
        asking: what it is asked.
        clock: tells the session's stages apart.
        max_positions: positions that the model was made for.

    Attributes:
        chunk_seconds: pictures of each chunk, and the time to take them in.
        stage_seconds: what all chunks took, by stage.
        ttft: from each question to the first token, everything folded in.
        from_arrival: from the arrival of a last frame, with the question right behind it, to the first token.
        per_token: of each answer that was read, after its first token.
        asked_seconds: that all questions took together.
        is_beyond_positions: the question stood behind the positions that the model was made for.
    """

    def __init__(
        self,
        policy: str,
        num_frames: int,
        session: Session,
        *,
        footage: Footage,
        asking: Asking,
        clock: StageClock,
        max_positions: int,
    ) -> None:
        self.policy, self.num_frames, self.session = policy, num_frames, session
        self._footage, self._asking, self._clock = footage, asking, clock
        self._before, self._max_positions = dict(clock.seconds), max_positions
        self._device = session.model.layout.device
        self._num_seen = 0
        self.chunk_seconds: list[tuple[int, float]] = []
        self.stage_seconds: dict[Stage, float] = {}
        self.ttft: list[float] = []
        self.from_arrival: list[float] = []
        self.per_token: list[float] = []
        self.asked_seconds = 0.0
        self.is_beyond_positions = False

    @property
    def is_watching(self) -> bool:
        """Whether pictures are left before the first question."""
        return self._num_seen < self.num_frames

    def watch(self) -> None:
        """Take in the next chunk."""
        count = min(self.session.chunk_frames, self.num_frames - self._num_seen)
        began = time.perf_counter()
        self._observe(count)
        self.session.flush()
        synchronize(self._device)
        self.chunk_seconds.append((count, time.perf_counter() - began))
        for stage, seconds in self._clock.seconds.items():
            self.stage_seconds[stage] = seconds - self._before.get(stage, 0.0)

    def ask(self, *, counts: bool = True) -> None:
        """Ask with nothing waiting; read the whole answer the first time, and every fifth time after.

        A policy that rebuilds at a question sees one more picture before, so that there is something to do.

        Args:
            counts: note the times; a warm-up does not.
        """
        if self.session.policy.rebuilds_at_question:
            self._observe(1)
            self.session.flush()
            synchronize(self._device)
        began = time.perf_counter()
        is_read = len(self.ttft) % _QUESTIONS_PER_ANSWER == 0
        wanted = self._asking.new_tokens if is_read else 1
        answer = self.session.ask(self._asking.question, max_new_tokens=wanted)
        first = time.perf_counter()
        answer.text  # noqa: B018 - reads the answer to its end
        ended = time.perf_counter()
        self.is_beyond_positions |= self._last_position > self._max_positions
        if counts:
            self.asked_seconds += ended - began
            self.ttft.append(answer.ttft_seconds)
            if is_read:
                self.per_token.append((ended - first) / (len(answer.token_ids) - 1))

    def ask_on_arrival(self) -> None:
        """Let a frame arrive, and ask at once."""
        began = time.perf_counter()
        self._observe(1)
        answer = self.session.ask(self._asking.question, max_new_tokens=1)
        self.from_arrival.append(time.perf_counter() - began)
        answer.close()
        self.asked_seconds += self.from_arrival[-1]

    def measure_peak(self) -> int:
        """Return the most bytes that this stream takes: its buffers, and what a chunk and a question add."""
        held = self.session.stats.cache_bytes
        return held + measure_peak(self._device, self._watch_and_ask)

    def _watch_and_ask(self) -> None:
        self._observe(self.session.chunk_frames)
        self.ask(counts=False)

    def _observe(self, count: int) -> None:
        self.session.observe(self._footage.frames(self._num_seen, count))
        self._num_seen += count

    @property
    def _last_position(self) -> int:
        return self.session.cache.next_position + self._asking.num_tokens + self._asking.new_tokens
