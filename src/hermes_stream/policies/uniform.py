"""Even coverage: keep frames at a stride that doubles, or tokens at even distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.memory.selection import evenly_spaced
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts, check_choice, check_min, keeping

Spacing = Literal["patches", "tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformPolicy(MemoryPolicy):
    """Keep every s-th frame of the whole stream; s is a power of two and doubles when the budget is full.

    Frame 0 always stays; where it alone is larger than the budget, it keeps tokens at even distances.
    Between compressions the newest frames are all there. Positions are lazy: gaps stay until the
    model's limit is near.

    Attributes:
        budget_tokens: visual tokens each layer keeps, at least 1.
        spacing: "patches" keeps whole temporal patches, as above; "tokens" keeps tokens at even distances
            in what the layer holds, the baseline of InfiniPot-V, which thins old tokens again each time.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="every s-th frame of the whole stream, s doubling when the budget is full", paper=None
    )

    budget_tokens: int = 4000
    spacing: Spacing = "patches"

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_choice("spacing", self.spacing, get_args(Spacing))

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep tokens, or whole patches, at even distances."""
        if self.spacing == "tokens" or not state.present.shape[1]:
            return keeping(evenly_spaced(state.present, self.budget_tokens))
        return keeping(_on_stride(state.temporal_patch_ids, state.present, self.budget_tokens))


def _on_stride(
    patches: Int[Tensor, "layers tokens"], present: Bool[Tensor, "layers tokens"], room: int
) -> Bool[Tensor, "layers tokens"]:
    """Select the patches of each layer's smallest stride that fits and has lost no patch yet."""
    newest = patches.amax(dim=1, keepdim=True)
    selected = evenly_spaced(present & (patches == 0), room)
    is_open = torch.ones_like(newest, dtype=torch.bool)
    for power in range(int(newest.max()).bit_length() + 1):
        stride = 1 << power
        on_stride = present & (patches >= 0) & (patches % stride == 0)
        # Patch s is the first to go when the stride s is given up, so its presence tells whether it was.
        is_whole = (patches == stride).any(dim=1, keepdim=True) | (newest < stride)
        settles = is_open & is_whole & (on_stride.sum(dim=1, keepdim=True) <= room)
        selected = torch.where(settles, on_stride, selected)
        is_open = is_open & ~settles
    return selected
