"""StreamingVLM: the last seconds of video, dropped second by second, at contiguous positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from hermes_stream.memory.selection import whole_groups
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts, check_min, keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingVlmPolicy(MemoryPolicy):
    """Keep the newest ``window_seconds`` of video, in whole seconds, within the budget.

    The method has three quotas. Its text sink is the prefix, which is never evicted here. Its window of own
    former answers has no counterpart: a question leaves nothing in the memory. What remains is the visual
    window. It moves with time, under budget too, so a plan is asked for after every chunk. A newest second
    larger than the room keeps its newest tokens.

    Attributes:
        budget_tokens: visual tokens each layer keeps at most, at least 1.
        window_seconds: seconds of video that stay, at least 1; 16 in the paper.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="the last 16 seconds of video, dropped by whole seconds",
        paper="StreamingVLM, arXiv 2510.09608",
        budget_rule="visual tokens each layer keeps at most; a window in seconds beside it",
    )

    budget_tokens: int = 4000
    window_seconds: int = 16

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_min("window_seconds", self.window_seconds, 1)

    def exceeds(self, num_visual_tokens: int, budget_tokens: int, num_prefix_tokens: int) -> bool:  # noqa: ARG002
        """Return True where there are tokens, because time passes without the budget being full."""
        return num_visual_tokens > 0

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Drop whole seconds that left the window, then the oldest until the budget holds."""
        if not state.token_ids.numel():
            return keeping(state.present, reindex=True)
        seconds = state.pts_seconds.floor()
        newest = seconds.masked_fill(~state.present, -torch.inf).amax(dim=1, keepdim=True)
        in_window = state.present & (seconds > newest - self.window_seconds)
        return keeping(whole_groups(in_window, -seconds, self.budget_tokens), reindex=True)
