"""What a stream has done and holds, as plain numbers, and the clock that measures its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from hermes_stream.memory.tiers import Tier, Tiers
from hermes_stream.policies.base import MemoryPolicy

Stage = Literal["preprocess", "encode", "prefill", "compress", "question", "decode", "watch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStats:
    """A snapshot of one stream.

    Attributes:
        num_frames: frames taken into the stream, waiting ones included.
        num_pending_frames: frames that wait for their chunk.
        num_failed_frames: frames that were left out, because folding them failed twice.
        num_gaps: pauses of more than a minute between frames.
        num_still_frames: frames that were not encoded again, because they had not changed.
        num_visual_tokens_seen: visual tokens that the frames made so far.
        num_visual_tokens_dropped: those of them that a filter dropped before they were prefilled.
        num_visual_tokens_kept: visual tokens in the fullest layer, summaries included: a question reads so
            many. Within the budget; where compressions are deferred, it and what is over it.
        num_visual_tokens_over_budget: those that wait for a compression, at most a chunk; 0 unless a question
            came first (see ``Session``).
        num_kept_by_tier: the same by tier: "sensory", "working", "long_term"; an empty tier has 0.
        num_archived_tokens: visual tokens of each layer on the host, from which questions retrieve; 0 for
            most policies.
        num_compressions: how often tokens were evicted.
        num_questions: questions answered to their end.
        waiting_bytes: bytes of host memory that frames take which are not in the memory yet.
        cache_bytes: bytes of the stream's buffers on the model's device.
        host_bytes: bytes of host memory held for questions to come; 0 for most policies.
        recall_seconds: what the last question took before itself, part of its ttft_seconds; next to nothing
            for policies that compute nothing at question time, None before the first question.
        ttft_seconds: time to first token of the last question; None before the first.
        ttft_with_pending_seconds: the same, with the frames that waited.
        tokens_per_second: of the last answer that had two tokens or more; None before.
    """

    num_frames: int
    num_pending_frames: int
    num_failed_frames: int
    num_gaps: int
    num_still_frames: int
    num_visual_tokens_seen: int
    num_visual_tokens_dropped: int
    num_visual_tokens_kept: int
    num_visual_tokens_over_budget: int
    num_kept_by_tier: dict[str, int]
    num_archived_tokens: int
    num_compressions: int
    num_questions: int
    waiting_bytes: int
    cache_bytes: int
    host_bytes: int
    recall_seconds: float | None
    ttft_seconds: float | None
    ttft_with_pending_seconds: float | None
    tokens_per_second: float | None


def kept_by_tier(num_visual_tokens: Sequence[int]) -> dict[str, int]:
    """Return what the fullest layer of each tier holds, by the tier's name; an empty tier has 0."""
    tiers = Tiers(num_layers=len(num_visual_tokens)).tier_of_layer
    held = list(zip(num_visual_tokens, tiers, strict=True))
    return {tier.name.lower(): max((n for n, own in held if own == tier), default=0) for tier in Tier}


def shown(policy: MemoryPolicy, stats: SessionStats) -> str:
    """Return what a stream shows of itself where it is printed."""
    return (
        f"policy={type(policy).__name__}, budget_tokens={policy.budget_tokens}, "
        f"num_frames={stats.num_frames}, "
        f"num_visual_tokens_kept={stats.num_visual_tokens_kept}, num_questions={stats.num_questions}"
    )


class StageClock:
    """Adds up the seconds of each stage.

    Args:
        device: is waited for before and after each stage, so that its work is counted where it belongs;
            None counts what the host waits for.

    Attributes:
        seconds: of each stage that was entered so far.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device
        self.seconds: dict[Stage, float] = {}

    @contextmanager
    def timing(self, weights: Mapping[Stage, float]) -> Iterator[None]:
        """Count what happens inside.

        Args:
            weights: of the stages that it belongs to; each gets its share.
        """
        synchronize(self._device)
        began = time.perf_counter()
        try:
            yield
        finally:
            synchronize(self._device)
            each = (time.perf_counter() - began) / sum(weights.values())
            for stage, weight in weights.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + weight * each


class DeviceMoment:
    """When a device will have done what was asked of it so far. A GPU notes that by itself: nobody waits.

    Args:
        device: of the work.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._event = device, None
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record(torch.cuda.current_stream(device))
        else:
            synchronize(device)
        self._seconds = time.perf_counter()

    def seconds_until(self, later: DeviceMoment) -> float:
        """Return the time between, once the device is there."""
        if self._event is None or later._event is None:
            return later._seconds - self._seconds
        later._event.synchronize()
        milliseconds: float = self._event.elapsed_time(later._event)
        return milliseconds / 1000

    def seconds_ago(self) -> float:
        """Return how long ago it was."""
        return self.seconds_until(DeviceMoment(self._device))


def synchronize(device: torch.device | None) -> None:
    """Wait until a device has done what was asked of it; a CPU has, always."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device is not None and device.type == "mps":
        torch.mps.synchronize()
