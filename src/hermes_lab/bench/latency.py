"""How fast answers come, how fast frames go in, and what a stream takes: many policies in one run.

All streams of a run are alive at the same time and are asked in turn, so that whatever else the machine does
falls on all alike. On a machine that others use too, only ratios within one run mean anything.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, final

from hermes_lab.bench.latency_row import Row, latency_row
from hermes_lab.bench.roofline import Roofline
from hermes_lab.bench.timed_stream import TimedStream
from hermes_lab.bench.turns import FAILURES, Turns
from hermes_lab.bench.workload import Workload, max_text_tokens
from hermes_stream.errors import CapacityError
from hermes_stream.host import host_free_bytes
from hermes_stream.models.base import VideoModel
from hermes_stream.models.loading.footprint import free_bytes
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.recent_n import RecentNPolicy
from hermes_stream.policies.window import WindowPolicy
from hermes_stream.stream import Session
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.stats import StageClock

Store = Callable[[list[Row], list[dict[str, Any]]], None]

_MIN_REPEATS = 3
_WARM_UP_CHUNKS = 2
_SHARE_OF_FREE = 0.8  # activations want the rest


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBenchmark:
    """Times questions to streams of several policies and lengths.

    Attributes:
        model: from ``without_stop_tokens``, so that all answers are equally long.
        policies: by name; one without a budget gets room for its whole stream. None is ``reprefill``: the
            plain model, which prefills all frames when it is asked.
        workload: what each stream observes and is asked.
        roofline: of model and device.
        chunk_frames: frames that enter a memory together.
        kv_bits: 8 keeps keys and values in 8 bits.
        defers_compression: let a question behind a frame go before its compression.
        repeats: questions to each stream, at least 3; a fifth as many come right behind a frame.
        max_seconds: a stream that was asked 3 times and for so long is asked no more; one that takes longer
            by its roofline is left out.
    """

    model: VideoModel
    policies: Mapping[str, MemoryPolicy | None]
    workload: Workload
    roofline: Roofline
    chunk_frames: int = 16
    kv_bits: int | None = None
    defers_compression: bool = False
    repeats: int = 101
    max_seconds: float = 60.0

    def run(
        self, frame_counts: Sequence[int], *, store: Store | None = None
    ) -> tuple[list[Row], list[dict[str, Any]]]:
        """Let all streams observe their frames, then ask them in turn. A stream that fails is left out.

        Args:
            frame_counts: frames that streams observe before they are asked.
            store: called with what was measured so far whenever there is more; what is still missing in a
                row is None.

        Returns:
            What was measured of each stream (see ``latency_row``); which streams were left out, and why.
        """
        if frame_counts:
            self._warm_up()
        turns = self._open_all(frame_counts)
        # The lengths of a policy stand next to each other in a round, so that they meet the same machine.
        turns.streams.sort(key=lambda one: list(self.policies).index(one.policy))
        for one in list(turns.streams):
            turns.try_once(one, lambda stream: stream.ask(is_timed=False))
        turns.rotate(TimedStream.ask, until=lambda one: self._is_done(one, one.ttft_seconds, self.repeats))
        self._rows(turns, store)
        for one in turns.streams:
            one.question_seconds = 0.0
        turns.rotate(
            TimedStream.ask_on_arrival,
            until=lambda one: self._is_done(one, one.ttft_from_arrival_seconds, self._num_arrivals),
        )
        rows = self._rows(turns, store)
        for one in list(turns.streams):
            if turns.try_once(one, TimedStream.measure_peak):
                rows[one] |= one.peak
            else:
                del rows[one]
            if store is not None:
                store(list(rows.values()), turns.left_out)
        return list(rows.values()), turns.left_out

    def _rows(self, turns: Turns, store: Store | None) -> dict[TimedStream, Row]:
        """Return what was measured so far of each stream, and have it stored."""
        rows = {one: latency_row(one, turns.streams, self.roofline) for one in turns.streams}
        if store is not None:
            store(list(rows.values()), turns.left_out)
        return rows

    def _open_all(self, frame_counts: Sequence[int]) -> Turns:
        """Open all streams that there is time and room for, and let them observe their frames."""
        turns = Turns()
        for num_frames in sorted(frame_counts):
            group = []
            for name, policy in self.policies.items():
                try:
                    self._check_cost(policy, num_frames)
                    group.append(self._open(name, policy, num_frames))
                except FAILURES as error:
                    turns.leave_out(name, num_frames, error)
            turns.streams += group
            turns.rotate(
                TimedStream.observe_chunk, until=lambda one: one.num_observed >= one.num_frames, among=group
            )
        return turns

    @property
    def _num_arrivals(self) -> int:
        """How often a stream is asked right behind a frame."""
        return max(_MIN_REPEATS, self.repeats // 5)

    def _is_done(self, stream: TimedStream, times: Sequence[float], repeats: int) -> bool:
        is_slow = stream.question_seconds > self.max_seconds
        return len(times) >= (_MIN_REPEATS if is_slow else repeats)

    def _warm_up(self) -> None:
        """Run every kernel once, in streams that are not measured."""
        for name, policy in self.policies.items():
            with suppress(*FAILURES):  # the measured stream will say why
                stream = self._open(name, policy, _WARM_UP_CHUNKS * self.chunk_frames)
                while stream.num_observed < stream.num_frames:
                    stream.observe_chunk()
                stream.ask()

    def _open(self, name: str, policy: MemoryPolicy | None, num_frames: int) -> TimedStream:
        """Open a stream; one without a budget gets slots and positions for all its frames.

        Speed does not depend on whether positions are those that the model was made for.
        """
        model, clock = self.model, StageClock(self.model.layout.device)
        if policy is None or policy.budget_tokens is None:
            policy = self._with_room(policy, num_frames)
            model = copy.copy(model)
            positions = 2 * (policy.budget_tokens or 0) + model.layout.max_positions
            model.layout = replace(model.layout, max_positions=positions)
        session = Session(
            model,
            policy,
            chunk_frames=self.chunk_frames,
            text_tokens=max_text_tokens(self.model),
            executor=Executor.for_one_stream(model, stages=clock),
            kv_bits=self.kv_bits,
            defers_compression=self.defers_compression,
        )
        return TimedStream(
            policy=name,
            num_frames=num_frames,
            session=session,
            workload=self.workload,
            clock=clock,
            max_positions=self.model.layout.max_positions,
        )

    def _with_room(self, policy: MemoryPolicy | None, num_frames: int) -> MemoryPolicy:
        """Return a policy whose budget its stream never exceeds, so that its buffers never grow."""
        if policy is None:
            return RecentNPolicy(budget_tokens=self._count_tokens(num_frames))
        return WindowPolicy(budget_tokens=self._count_tokens(self._max_frames(num_frames)))

    def _max_frames(self, num_frames: int) -> int:
        """Return for how many frames a stream needs room in the end, the peak's chunk included."""
        # A frame that is asked about at once fills a temporal patch of its own.
        per_arrival = self.model.card.frames_per_temporal_patch
        return num_frames + per_arrival * (self._num_arrivals + 1) + self.chunk_frames

    def _count_tokens(self, num_frames: int) -> int:
        num_patches = -(-num_frames // self.model.card.frames_per_temporal_patch)
        height, width = self.workload.images[0].shape[:2]
        return num_patches * self.model.num_tokens(height, width)

    def _check_cost(self, policy: MemoryPolicy | None, num_frames: int) -> None:
        """Refuse a stream that takes too long, or more memory than the streams before it left.

        Raises:
            CapacityError: it does.
        """
        budget = None if policy is None else policy.budget_tokens
        seconds = self.roofline.seconds(self.roofline.ingest(num_frames, 0))
        if budget is None and seconds > self.max_seconds:
            raise CapacityError(
                f"{'each question' if policy is None else 'watching'} takes {seconds:.0f} s at least, more "
                f"than the {self.max_seconds:g} s that are allowed"
            )
        layout = self.model.layout
        held = budget or self._count_tokens(self._max_frames(num_frames))
        needed = {str(layout.device): held * self.roofline.buffer_bytes_per_token}
        if policy is not None and policy.retrieval() is not None:
            # An archive doubles its buffers of keys and values, and holds the old ones meanwhile.
            archived_bytes = 2 * self._count_tokens(num_frames) * layout.bytes_per_token
            needed["cpu"] = needed.get("cpu", 0) + archived_bytes
        for device, num_bytes in needed.items():
            free = host_free_bytes() if device == "cpu" else free_bytes(layout.device)
            if free is not None and num_bytes > _SHARE_OF_FREE * free:
                raise CapacityError(
                    f"it needs {num_bytes / 1e9:.3g} GB, and {device} has {free / 1e9:.3g} GB free"
                )
