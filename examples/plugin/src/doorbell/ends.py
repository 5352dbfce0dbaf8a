"""A policy: the beginning of the stream, and its present."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts, keeping


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EndsPolicy(MemoryPolicy):
    """Keep the first tokens of the stream and the newest ones; forget what lies between.

    Attributes:
        budget_tokens: visual tokens each layer keeps, at least 1.
        first_share: of the budget, for the first tokens, 0 to 1.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(summary="the first tokens and the newest", paper=None)

    budget_tokens: int = 4000
    first_share: float = 0.5

    def __post_init__(self) -> None:
        if self.budget_tokens < 1:
            raise ValueError(f"budget_tokens must be at least 1; got {self.budget_tokens}")
        if not 0 <= self.first_share <= 1:
            raise ValueError(f"first_share must be from 0 to 1; got {self.first_share}")

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep both ends of what each layer holds."""
        num_first = round(self.budget_tokens * self.first_share)
        order = state.present.cumsum(dim=1)
        num_present = state.present.sum(dim=1, keepdim=True)
        is_newest = order > num_present - (self.budget_tokens - num_first)
        return keeping(state.present & ((order <= num_first) | is_newest))
