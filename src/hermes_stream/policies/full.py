"""Keep everything: the upper bound for short clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts, keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class FullPolicy(MemoryPolicy):
    """Never evict. Memory grows with the stream until the cache refuses the next chunk.

    Attributes:
        budget_tokens: None, the only value accepted.

    Raises:
        ValueError: a budget was given.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="everything; the stream ends where the model's positions do",
        paper=None,
        budget_rule="none: the memory grows with the stream",
        reads=(),
    )

    budget_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.budget_tokens is not None:
            raise ValueError(
                f"budget_tokens must be None, because FullPolicy keeps everything; got {self.budget_tokens}. "
                "Use WindowPolicy or HermesPolicy for a bounded memory"
            )

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep every token where it is."""
        return keeping(state.present)
