"""The newest frames and no memory: prefilled anew for each question (SimpleStream)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hermes_stream.memory.selection import whole_groups
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts, check_min, keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentNPolicy(MemoryPolicy):
    """Hold the last N frames that the budget has room for; encode and prefill them for a question.

    The model sees exactly what it would see of a video that consists of these N frames, every token that
    it makes of each included (native resolution): no trace of older frames is in their keys and values, as
    there is in those of a window. That is computed when a question comes, and its time is part of the time
    to first token; a second question before the next frame finds it done. Between questions only frames are
    held.

    Attributes:
        budget_tokens: visual tokens that the N frames may take, at least those of one frame.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="the last N frames, prefilled anew for each question; no memory",
        paper="SimpleStream, arXiv 2604.02317",
        budget_rule="visual tokens of N whole frames",
        at_question="encode and prefill N frames, unless no frame came since the last question",
    )
    rebuilds_at_question: ClassVar[bool] = True

    budget_tokens: int = 4000

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep the newest whole frames."""
        return keeping(
            whole_groups(state.present, -state.temporal_patch_ids, self.budget_tokens), reindex=True
        )
