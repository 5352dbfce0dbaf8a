"""StreamMem: keep what the end of a turn attends to, and one prototype of each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.memory.selection import select
from hermes_stream.memory.state import MemoryState, MergedSlots, RetentionPlan
from hermes_stream.policies.base import (
    TURN_END,
    Guidance,
    GuidancePrompts,
    MemoryPolicy,
    PolicyFacts,
    check_min,
    keeping,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMemPolicy(MemoryPolicy):
    """Keep the tokens that a proxy question attends to most; merge each new frame into one further slot.

    The proxy is what the model's own template puts between a question and its answer. It takes a true forward
    through all layers and leaves nothing behind. A prototype is the mean of its frame's keys and values,
    weighted by attention within the frame; afterwards it is a candidate like any other.

    Chosen where the source leaves it open: attention is averaged over heads and proxy tokens; raw keys are
    merged, since rotated ones would cancel each other; a prototype stands at the middle token of its frame;
    new frames are those after the newest prototype, of which the newest get one where all would take more
    than half of the budget; positions are lazy and never stretched (YaRN). The paper's filter of like frames
    is not part of it: it is a filter of its own that combines with any policy.

    Attributes:
        budget_tokens: visual tokens each layer keeps, prototypes included, at least 1.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="what the end of a turn attends to, and a prototype of each frame",
        paper="StreamMem, arXiv 2508.15717",
        budget_rule="visual tokens each layer keeps, prototypes included",
        reads=("attention", "positions"),
    )

    budget_tokens: int = 4000

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)

    def guidance(
        self,
        num_layers: int,
        prompts: GuidancePrompts,  # noqa: ARG002
        last_conversation: str | None,  # noqa: ARG002
    ) -> Guidance:
        """Let all layers read the end of a turn."""
        return Guidance(prompts=(TURN_END,), prompt_of_layer=(0,) * num_layers)

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Make room for the prototypes of new frames, and fill the rest by attention.

        Raises:
            ValueError: the state carries no attention.
        """
        if state.attention is None:
            raise ValueError("StreamMemPolicy needs the attention of the prompt that its guidance() names")
        # Clamped, so that a frame without any attention gets a plain mean instead of 0 / 0.
        merge = self._prototypes(state, state.attention.float().clamp(min=1e-30))
        room = self.budget_tokens - merge.num_slots
        return keeping(select(state.attention, state.present, room), merge=merge)

    def _prototypes(self, state: MemoryState, attention: Float[Tensor, "layers tokens"]) -> MergedSlots:
        """Merge each layer's new patches, those after its newest prototype."""
        slot_of_token = torch.full_like(state.token_ids, -1)
        weights = torch.zeros(slot_of_token.shape, device=slot_of_token.device)
        source_indices = []
        for layer, count in enumerate(state.lengths.tolist()):
            patches, counts = state.temporal_patch_ids[layer, :count], state.counts[layer, :count]
            # Only a merged slot stands for several tokens, so the counts tell prototypes from tokens.
            newest_prototype = patches.masked_fill(counts < 2, -1).max() if count else patches.new_tensor(-1)
            new_patches = patches[(patches > newest_prototype) & (counts == 1)].unique()
            new_patches = new_patches[max(len(new_patches) - self.budget_tokens // 2, 0) :]
            joins = patches == new_patches[:, None]
            shares = joins * attention[layer, :count]
            weights[layer, :count] = (shares / shares.sum(dim=1, keepdim=True)).sum(dim=0)
            # A token joins one patch at most, so summing over patches leaves its slot, or -1.
            slots = torch.arange(len(new_patches), device=patches.device)[:, None]
            slot_of_token[layer, :count] = (joins * (slots + 1)).sum(dim=0) - 1
            source_indices.append(_middles(joins))
        padded = torch.nn.utils.rnn.pad_sequence(source_indices, batch_first=True, padding_value=-1)
        return MergedSlots(slot_of_token=slot_of_token, weights=weights, source_indices=padded)


def _middles(joins: Bool[Tensor, "slots tokens"]) -> Int[Tensor, " slots"]:
    """Return the index of each patch's middle token."""
    if not len(joins):
        return torch.zeros(0, dtype=torch.long, device=joins.device)
    order = joins.cumsum(dim=1)
    return (joins & (order == (order[:, -1:] + 1) // 2)).int().argmax(dim=1)
