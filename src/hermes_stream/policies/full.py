"""Keep everything: the upper bound for short clips."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hermes_stream.memory.selection import indices_of
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class FullPolicy(MemoryPolicy):
    """Never evict. Memory grows with the stream until the cache refuses the next chunk.

    Attributes:
        budget_tokens: None, the only value accepted.

    Raises:
        ValueError: a budget was given.
    """

    budget_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.budget_tokens is not None:
            raise ValueError(
                f"budget_tokens must be None, because FullPolicy keeps everything; got {self.budget_tokens}. "
                "Use WindowPolicy or HermesPolicy for a bounded memory"
            )

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep every token where it is."""
        nothing = torch.zeros(state.num_layers, dtype=torch.bool, device=state.token_ids.device)
        return RetentionPlan(keep=indices_of(state.present), summarize=nothing)
