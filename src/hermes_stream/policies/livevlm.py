"""LiveVLM: the newest frames exactly, older tokens spread over the past by what the newest attend to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.memory.selection import rank_within, select, whole_groups
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import (
    Guidance,
    GuidancePrompts,
    MemoryPolicy,
    PolicyFacts,
    check_min,
    keeping,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVlmPolicy(MemoryPolicy):
    """Keep the newest frames whole, and of older tokens the most attended, at least one in every stretch.

    Vision sink bucketing (VSB): the chunk's newest tokens are observed while they are prefilled; a token's
    score is what they attend to it, mean over them and over heads. Of the M tokens that are left for older
    ones, the best ``sink_share`` are kept first. Then the past is cut into M buckets of equal length, and
    tokens are kept by falling score where their bucket has none; what is left is filled by score.

    Chosen where the source leaves it open: the number of observed tokens and of newest frames, and the share
    of the first phase, see the fields; the newest frames take at most half of the budget; lazy positions.
    Page retrieval at question time (PaR) is left out: all of the memory is read for every answer.

    Attributes:
        budget_tokens: visual tokens each layer keeps, newest frames included, at least 1.
        recent_patches: newest temporal patches that stay whole, at least 0.
        observed_tokens: newest tokens of a chunk whose attention counts, at least 1.
        sink_share: part of the older tokens' room that goes to the best ones wherever they are, in [0, 1].
        bucket_tokens: B, tokens that a bucket may hold before others are filled, at least 1.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="the newest frames, and older tokens that they attend to, spread over the past",
        paper="LiveVLM, arXiv 2505.15269",
        reads=("attention", "positions"),
    )

    budget_tokens: int = 4000
    recent_patches: int = 4
    observed_tokens: int = 32
    sink_share: float = 0.5
    bucket_tokens: int = 1

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_min("recent_patches", self.recent_patches, 0)
        check_min("observed_tokens", self.observed_tokens, 1)
        check_min("bucket_tokens", self.bucket_tokens, 1)
        if not 0 <= self.sink_share <= 1:
            raise ValueError(f"sink_share must be in [0, 1]; got {self.sink_share}")

    def guidance(
        self,
        num_layers: int,
        prompts: GuidancePrompts,  # noqa: ARG002
        last_conversation: str | None,  # noqa: ARG002
    ) -> Guidance:
        """Observe the chunk's newest tokens instead of reading prompts."""
        return Guidance(prompt_of_layer=(None,) * num_layers, observed_tokens=self.observed_tokens)

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep the newest frames, then fill buckets.

        Raises:
            ValueError: the state carries no attention.
        """
        if state.attention is None:
            raise ValueError("LiveVlmPolicy needs the attention of the chunk that its guidance() observes")
        recent = self._recent(state)
        older = state.present & ~recent
        room = self.budget_tokens - recent.sum(dim=1)
        sinks = select(state.attention, older, (self.sink_share * room).long())
        # Scaled below 1, so that a token its bucket has room for comes before all others.
        largest = state.attention.amax().clamp(min=1e-30) if older.numel() else 1
        scores = state.attention / largest / 2 + self._opens_bucket(state, older, room)
        budgets = torch.full_like(room, self.budget_tokens)
        return keeping(select(scores, state.present, budgets, preferred=recent | sinks))

    def _recent(self, state: MemoryState) -> Bool[Tensor, "layers tokens"]:
        """Mark the newest frames, within half of the budget."""
        patches = state.temporal_patch_ids
        if not patches.numel() or not self.recent_patches:
            return torch.zeros_like(state.present)
        newest = patches.amax(dim=1, keepdim=True)
        recent = state.present & (patches > newest - self.recent_patches)
        return whole_groups(recent, -patches, self.budget_tokens // 2)

    def _opens_bucket(
        self, state: MemoryState, older: Bool[Tensor, "layers tokens"], room: Int[Tensor, " layers"]
    ) -> Bool[Tensor, "layers tokens"]:
        """Tell which older tokens are among the best of their bucket, as many as it may hold."""
        assert state.attention is not None
        index = older.cumsum(dim=1)
        num_buckets = (room // self.bucket_tokens).clamp(min=1)[:, None]
        length = older.sum(dim=1, keepdim=True).clamp(min=1)
        buckets = torch.where(older, -(-index * num_buckets // length), 0)
        return older & (rank_within(buckets, -state.attention) < self.bucket_tokens)
