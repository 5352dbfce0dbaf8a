"""A sliding window with attention sinks: keep the newest frames (StreamingLLM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.memory.selection import whole_groups
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import Choosing, MemoryPolicy, PolicyFacts, check_min, keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPolicy(MemoryPolicy):
    """Keep the newest whole frames, and the first visual tokens as sinks, at dense positions.

    A frame larger than the room that sinks leave keeps its newest tokens.

    Attributes:
        budget_tokens: visual tokens each layer keeps, sinks included, at least 1.
        sink_tokens: first visual tokens, which always stay, at least 0 and below the budget; often 0 or 4.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="the newest whole frames, and the first tokens as sinks",
        paper="StreamingLLM, arXiv 2309.17453",
        budget_rule="visual tokens each layer keeps, sinks included",
    )

    budget_tokens: int = 4000
    sink_tokens: int = 0

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        if not 0 <= self.sink_tokens < self.budget_tokens:
            raise ValueError(
                f"sink_tokens must be at least 0 and below budget_tokens {self.budget_tokens}; "
                f"got {self.sink_tokens}"
            )

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Fill what sinks leave of the budget with the newest frames."""
        # Dense at once, as StreamingLLM: positions count within the window, not along the stream.
        return keeping(self._kept(state, self.budget_tokens), reindex=True)

    def choosing(self, state: MemoryState) -> Choosing:
        """See ``MemoryPolicy.choosing``."""

        def plan(budgets: Int[Tensor, " layers"]) -> tuple[Tensor, Tensor]:
            return self._kept(state, budgets[:, None]), torch.zeros_like(budgets, dtype=torch.bool)

        return Choosing(plan=plan, budgets=lambda tokens, num_layers: (tokens,) * num_layers, reindex=True)

    def _kept(
        self, state: MemoryState, budgets: Int[Tensor, "layers one"] | int
    ) -> Bool[Tensor, "layers tokens"]:
        index = torch.arange(state.token_ids.shape[1], device=state.token_ids.device)
        sinks = state.present & (index < self.sink_tokens)
        room = budgets - sinks.sum(dim=1, keepdim=True)
        return sinks | whole_groups(state.present & ~sinks, -state.temporal_patch_ids, room)
