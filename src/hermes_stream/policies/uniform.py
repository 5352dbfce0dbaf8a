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

Spacing = Literal["frames", "tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformPolicy(MemoryPolicy):
    """Keep every s-th frame of the whole stream; s is a power of two and doubles when the budget is full.

    Frame 0 always stays; where it alone is larger than the room that protected tokens leave, it keeps tokens
    at even distances. Between compressions the newest frames are all there. Positions are lazy: gaps stay
    until the model's limit is near.

    Attributes:
        budget_tokens: visual tokens each layer keeps, at least 1.
        spacing: "frames" as above; "tokens" keeps tokens at even distances in what the layer holds, the
            baseline of InfiniPot-V: it thins old material again at each compression.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="every s-th frame of the whole stream, s doubling when the budget is full", paper=None
    )

    budget_tokens: int = 4000
    spacing: Spacing = "frames"

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_choice("spacing", self.spacing, get_args(Spacing))

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Space out what stays within the room that protected tokens leave."""
        protected, free = state.present & state.protected, state.present & ~state.protected
        room = (self.budget_tokens - protected.sum(dim=1, keepdim=True)).clamp(min=0)
        if self.spacing == "tokens" or not free.shape[1]:
            return keeping(protected | evenly_spaced(free, room))
        return keeping(protected | _on_stride(state.temporal_patch_ids, free, room))


def _on_stride(
    frames: Int[Tensor, "layers tokens"], free: Bool[Tensor, "layers tokens"], room: Int[Tensor, "layers one"]
) -> Bool[Tensor, "layers tokens"]:
    """Take the frames of each layer's smallest stride that fits and of which no frame was forgotten.

    Frame s is the first that goes when the stride s is given up, so it tells whether it was.
    """
    newest = frames.amax(dim=1, keepdim=True)
    chosen = evenly_spaced(free & (frames == 0), room)
    is_open = torch.ones_like(room, dtype=torch.bool)
    for power in range(int(newest.max()).bit_length() + 1):
        stride = 1 << power
        taken = free & (frames >= 0) & (frames % stride == 0)
        is_whole = (frames == stride).any(dim=1, keepdim=True) | (newest < stride)
        settles = is_open & is_whole & (taken.sum(dim=1, keepdim=True) <= room)
        chosen = torch.where(settles, taken, chosen)
        is_open = is_open & ~settles
    return chosen
