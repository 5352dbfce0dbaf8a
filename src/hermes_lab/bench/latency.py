"""How fast answers come, how fast pictures go in, and what a stream takes: many memories in one run.

All streams of a run are alive at the same time and are asked in turn, each round in another order, so that
whatever else the machine does falls on all alike. Only ratios within one run mean anything on a machine that
others use too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from hermes_lab.bench.fixed_question import Asking, text_tokens_of
from hermes_lab.bench.generated_frames import Footage
from hermes_lab.bench.latency_row import LatencyRow, row_of
from hermes_lab.bench.roofline import DeviceSpeed, ModelCost
from hermes_lab.bench.timed_stream import Lane
from hermes_stream.errors import CapacityError
from hermes_stream.models.base import VideoModel
from hermes_stream.models.loading.footprint import free_bytes, host_free_bytes
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.recent_n import RecentNPolicy
from hermes_stream.policies.window import WindowPolicy
from hermes_stream.stream import Session
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.stats import StageClock

REPREFILL = "reprefill"
_LEAST_REPEATS = 3
_WARM_UP_CHUNKS = 2
_TIGHT = 0.8  # of what is free: activations want the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a run measures.

    Attributes:
        policies: memories by name; one without a budget gets room for the whole stream. None is
            ``reprefill``: the plain model, which prefills all pictures when it is asked.
        frame_counts: pictures that each stream watches before it is asked.
        chunk_frames: pictures that enter a memory together.
        kv_bits: 8 keeps keys and values in 8 bits.
        repeats: how often each stream is asked, at least 3; a fifth as often as a frame arrives.
        max_seconds: a stream that has been asked 3 times and for so long is asked no more; one whose work
            takes longer by its floor is left out.
    """

    policies: Mapping[str, MemoryPolicy | None]
    frame_counts: Sequence[int]
    chunk_frames: int = 16
    kv_bits: int | None = None
    repeats: int = 101
    max_seconds: float = 60.0

    @property
    def num_arrivals(self) -> int:
        """How often a frame arrives and is asked about at once."""
        return max(_LEAST_REPEATS, self.repeats // 5)

    def has_enough(self, lane: Lane, times: Sequence[float], repeats: int) -> bool:
        """Tell whether a stream was asked often enough, or for long enough."""
        is_slow = lane.asked_seconds > self.max_seconds
        return len(times) >= (_LEAST_REPEATS if is_slow else repeats)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A stream that was not measured, and why."""

    policy: str
    num_frames: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What a run found.

    Attributes:
        rows: one for each stream that was measured.
        left_out: the others.
    """

    rows: list[LatencyRow]
    left_out: list[LeftOut]


def measure_latency(
    model: VideoModel,
    course: Course,
    asking: Asking,
    footage: Footage,
    *,
    cost: ModelCost,
    speed: DeviceSpeed,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Latency:
    """Let all streams watch, then ask them in turn.

    Args:
        model: from ``never_stopping``, so that all answers are as long.
        course: what is measured.
        asking: the question, from ``find_question``.
        footage: what is watched.
        cost: of the model's work.
        speed: of its device.
        on_progress: is told what is being done.
    """
    starter = _Starter(model, course, footage, cost=cost, speed=speed, asking=asking)
    lanes: list[Lane] = []
    for num_frames in sorted(course.frame_counts):
        group = starter.start(num_frames)
        lanes += group
        on_progress(f"streams of {num_frames} frames watch")
        _in_turn(group, until=lambda lane: not lane.is_watching, act=Lane.watch)
    # A memory's lengths stand next to each other in a round, so that they meet the same machine.
    lanes.sort(key=lambda lane: list(course.policies).index(lane.policy))
    on_progress(f"{len(lanes)} streams are asked in turn")
    for lane in lanes:
        lane.ask(counts=False)
    _in_turn(lanes, until=lambda lane: course.has_enough(lane, lane.ttft, course.repeats), act=Lane.ask)
    for lane in lanes:
        lane.asked_seconds = 0.0
    on_progress(f"{len(lanes)} streams are asked as a frame arrives")
    _in_turn(
        lanes,
        until=lambda lane: course.has_enough(lane, lane.from_arrival, course.num_arrivals),
        act=Lane.ask_on_arrival,
    )
    on_progress("memory is measured")
    rows = [row_of(lane, lanes, cost=cost, speed=speed, asking=asking, footage=footage) for lane in lanes]
    return Latency(rows=rows, left_out=starter.left_out)


def _in_turn(lanes: Sequence[Lane], *, until: Callable[[Lane], bool], act: Callable[[Lane], None]) -> None:
    """Let each lane act once a round while it has to; rounds begin with another lane each time."""
    first, left = 0, list(lanes)
    while left := [lane for lane in left if not until(lane)]:
        for lane in (*left[first % len(left) :], *left[: first % len(left)]):
            act(lane)
        first += 1


class _Starter:
    """Starts the streams that there is room and time for, and notes the others."""

    def __init__(
        self,
        model: VideoModel,
        course: Course,
        footage: Footage,
        *,
        cost: ModelCost,
        speed: DeviceSpeed,
        asking: Asking,
    ) -> None:
        self._model, self._course, self._footage = model, course, footage
        self._cost, self._speed, self._asking = cost, speed, asking
        self._height, self._width = footage.images[0].shape[:2]
        self.left_out: list[LeftOut] = []
        self._is_warm = False

    def start(self, num_frames: int) -> list[Lane]:
        """Start a stream of each memory."""
        if not self._is_warm:
            self._warm_up()
        found = []
        for name, policy in self._course.policies.items():
            reason = self._too_long(policy, num_frames) or self._too_large(policy, num_frames)
            if reason is None:
                try:
                    found.append(self._lane(name, policy, num_frames))
                    continue
                except (CapacityError, torch.OutOfMemoryError) as error:
                    reason = str(error).splitlines()[0]
            self.left_out.append(LeftOut(policy=name, num_frames=num_frames, reason=reason))
        return found

    def _warm_up(self) -> None:
        """Let streams that nobody times meet every kernel once."""
        self._is_warm = True
        count = _WARM_UP_CHUNKS * self._course.chunk_frames
        for name, policy in self._course.policies.items():
            try:
                lane = self._lane(name, policy, count)
            except CapacityError:
                continue
            while lane.is_watching:
                lane.watch()
            lane.ask()

    def _lane(self, name: str, policy: MemoryPolicy | None, num_frames: int) -> Lane:
        clock = StageClock(self._model.layout.device)
        return Lane(
            name,
            num_frames,
            self._session(policy, num_frames, clock),
            footage=self._footage,
            asking=self._asking,
            clock=clock,
            max_positions=self._model.layout.max_positions,
        )

    def _session(self, policy: MemoryPolicy | None, num_frames: int, clock: StageClock) -> Session:
        """Make a session; one without a bound gets room for its whole stream, and positions for it.

        Speed does not depend on whether positions are those that the model was made for.
        """
        model = self._model
        if policy is None or policy.budget_tokens is None:
            policy = self._unbounded(policy, num_frames)
            model = copy.copy(model)
            positions = 2 * (policy.budget_tokens or 0) + model.layout.max_positions
            model.layout = replace(model.layout, max_positions=positions)
        return Session(
            model,
            policy,
            chunk_frames=self._course.chunk_frames,
            text_tokens=text_tokens_of(self._model),
            executor=Executor.for_one_stream(model, stages=clock),
            kv_bits=self._course.kv_bits,
        )

    def _unbounded(self, policy: MemoryPolicy | None, num_frames: int) -> MemoryPolicy:
        """Return a policy with a budget that its stream never exceeds, so that its buffers never grow."""
        if policy is None:
            return RecentNPolicy(budget_tokens=self._tokens(num_frames))
        return WindowPolicy(budget_tokens=self._tokens(self._all_frames(num_frames)))

    def _all_frames(self, num_frames: int) -> int:
        """Return the pictures for which a stream needs room in the end.

        Those that arrive while it is asked are frames of their own, whatever the model encodes together.
        """
        together = self._model.card.frames_per_temporal_patch
        return num_frames + together * (self._course.num_arrivals + 1) + self._course.chunk_frames

    def _tokens(self, num_frames: int) -> int:
        together = self._model.card.frames_per_temporal_patch
        return -(-num_frames // together) * self._model.num_tokens(self._height, self._width)

    def _too_long(self, policy: MemoryPolicy | None, num_frames: int) -> str | None:
        """Tell why a stream without a bound would take too long to measure."""
        if policy is not None and policy.budget_tokens is not None:
            return None
        seconds = self._cost.watch(num_frames, 0).seconds(self._speed)
        if seconds <= self._course.max_seconds:
            return None
        return (
            f"{'each question' if policy is None else 'watching'} takes {seconds:.0f} s at least, more than "
            f"the {self._course.max_seconds:g} s that are allowed"
        )

    def _too_large(self, policy: MemoryPolicy | None, num_frames: int) -> str | None:
        """Tell why a stream does not fit beside those that are there already."""
        layout = self._model.layout
        bound = None if policy is None else policy.budget_tokens
        held = bound or self._tokens(self._all_frames(num_frames))
        archived = self._tokens(num_frames) if policy is not None and policy.retrieval() else 0
        needs = {str(layout.device): held * self._cost.buffer_bytes_per_token}
        # An archive doubles its buffers of keys and values, and holds the old ones meanwhile.
        needs["cpu"] = needs.get("cpu", 0) + 2 * archived * layout.bytes_per_token
        for place, wanted in needs.items():
            free = host_free_bytes() if place == "cpu" else free_bytes(layout.device)
            if free is not None and wanted > _TIGHT * free:
                return f"it needs {wanted / 1e9:.3g} GB, and {place} has {free / 1e9:.3g} GB free"
        return None
