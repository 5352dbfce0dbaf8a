"""A sliding window with attention sinks: keep the newest frames (StreamingLLM)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from hermes_stream.memory.selection import indices_of
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPolicy(MemoryPolicy):
    """Keep the newest whole frames, and the first visual tokens as sinks, at dense positions.

    A frame larger than the room left by sinks and protected tokens keeps its newest tokens.

    Attributes:
        budget_tokens: visual tokens each layer keeps, sinks included, at least 1.
        sink_tokens: first visual tokens that stay as long as protected tokens leave room, at least 0 and
            below the budget; 0 or 4 are usual.

    Raises:
        ValueError: a field is out of its range.
    """

    budget_tokens: int = 4000
    sink_tokens: int = 0

    def __post_init__(self) -> None:
        if self.budget_tokens < 1:
            raise ValueError(f"budget_tokens must be at least 1; got {self.budget_tokens}")
        if not 0 <= self.sink_tokens < self.budget_tokens:
            raise ValueError(
                f"sink_tokens must be at least 0 and below budget_tokens {self.budget_tokens}; "
                f"got {self.sink_tokens}"
            )

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Fill what protected tokens and sinks leave of the budget with the newest frames."""
        index = torch.arange(state.token_ids.shape[1], device=state.token_ids.device)
        protected = state.present & state.protected
        free = state.present & ~protected
        room = self.budget_tokens - protected.sum(dim=1, keepdim=True)
        sinks = free & (index < self.sink_tokens) & (free.cumsum(dim=1) <= room)
        candidates = free & ~sinks
        room = room - sinks.sum(dim=1, keepdim=True)
        num_newer = candidates.flip(1).cumsum(dim=1).flip(1)
        in_whole_frame = candidates & (num_newer.gather(1, _frame_starts(state.frame_numbers)) <= room)
        newest = candidates & (num_newer <= room)
        window = torch.where(in_whole_frame.any(dim=1, keepdim=True), in_whole_frame, newest)
        nothing = torch.zeros(state.num_layers, dtype=torch.bool, device=index.device)
        return RetentionPlan(keep=indices_of(protected | sinks | window), summarize=nothing, reindex=True)


def _frame_starts(frame_numbers: Int[Tensor, "layers tokens"]) -> Int[Tensor, "layers tokens"]:
    """Return for each token the physical index of the first token of its frame."""
    index = torch.arange(frame_numbers.shape[1], device=frame_numbers.device).expand_as(frame_numbers)
    is_start = torch.ones_like(frame_numbers, dtype=torch.bool)
    is_start[:, 1:] = frame_numbers[:, 1:] != frame_numbers[:, :-1]
    return torch.where(is_start, index, 0).cummax(dim=1).values if index.shape[1] else index
