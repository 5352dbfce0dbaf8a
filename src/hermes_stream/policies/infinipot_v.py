"""InfiniPot-V: evict what newer frames repeat, and keep values of large norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.memory.novelty import redundancy
from hermes_stream.memory.selection import select, whole_groups
from hermes_stream.memory.smoothing import mean_of_neighbours
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts, check_choice, check_min, keeping

Keys = Literal["rotated", "raw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InfinipotVPolicy(MemoryPolicy):
    """Keep the newest frames, then older tokens unlike them, then values of large norm.

    Temporal redundancy (TaR): an older token scores minus the mean cosine of its key with the keys of the
    same grid index in the newest frames. These and the best older tokens fill ``temporal_share`` of the
    budget. Value norm (VaN): the rest of the budget goes to the largest values.

    Chosen where the source leaves it open: one selection per layer, cosines and norms averaged over KV heads,
    since all heads of a layer share their slots; a grid index that no newest frame holds has cosine 0; fewer
    newest frames where they would take more than their share, and the newest tokens where one frame does;
    norms are pooled along the order of tokens, because what is left of older frames is no grid. Positions are
    lazy, as in the released code, which keeps them. It compresses to the whole budget; the released code
    compresses 32 frames to 24.

    Attributes:
        budget_tokens: visual tokens each layer keeps, at least 1.
        temporal_share: alpha, part of the budget that TaR fills, in [0, 1].
        recent_share: rho, part of the temporal patches held that counts as newest, in [0, 1].
        keys: "rotated" keys as in the released code, or "raw" ones, whose cosine ignores the time between.
        pooling: how many tokens' norms are averaged, odd, for four groups of layers, shallow ones first.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="the newest frames, older tokens unlike them, and values of large norm",
        paper="InfiniPot-V, arXiv 2506.15745",
        reads=("keys", "values", "positions"),
    )

    budget_tokens: int = 4000
    temporal_share: float = 0.5
    recent_share: float = 0.25
    keys: Keys = "rotated"
    pooling: tuple[int, int, int, int] = (7, 5, 3, 1)

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_choice("keys", self.keys, get_args(Keys))
        for share in (self.temporal_share, self.recent_share):
            if not 0 <= share <= 1:
                raise ValueError(f"temporal_share and recent_share must be in [0, 1]; got {share}")
        if len(self.pooling) != 4 or any(size < 1 or size % 2 == 0 for size in self.pooling):
            raise ValueError(f"pooling must be four odd numbers of tokens; got {self.pooling}")

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep what TaR selects, fill up by VaN.

        Raises:
            ValueError: the state shows no keys, values or grid indices.
        """
        keys = state.rotated_keys if self.keys == "rotated" else state.raw_keys
        if keys is None or state.values is None or state.grid_indices is None:
            raise ValueError("InfinipotVPolicy needs a state that shows keys, values and grid_indices")
        temporal = torch.full_like(state.lengths, int(self.temporal_share * self.budget_tokens))
        recent = self._recent(state, temporal)
        unlike, norms = (torch.zeros(recent.shape, device=recent.device) for _ in ("keys", "values"))
        grid_size = int(state.grid_indices.max()) + 1 if state.grid_indices.numel() else 0
        for layer, count in enumerate(state.lengths.tolist()):
            held = layer, slice(0, count)
            unlike[held] = -redundancy(keys[layer], state.grid_indices[held], recent[held], max(1, grid_size))
            size = self.pooling[4 * layer // state.num_layers]
            norm = state.values[layer].float().norm(dim=-1).mean(dim=0)[None]
            norms[held] = mean_of_neighbours(norm, state.lengths[layer : layer + 1], size)[0]
        by_redundancy = select(unlike, state.present, temporal, preferred=recent)
        budgets = torch.full_like(temporal, self.budget_tokens)
        return keeping(select(norms, state.present, budgets, preferred=by_redundancy))

    def _recent(self, state: MemoryState, temporal: Int[Tensor, " layers"]) -> Bool[Tensor, "layers tokens"]:
        """Mark the newest frames, as many as their share of the frames and TaR's budget allow."""
        recent = torch.zeros_like(state.present)
        for layer, count in enumerate(state.lengths.tolist()):
            if count:
                _, rank, sizes = state.temporal_patch_ids[layer, :count].unique(
                    return_inverse=True, return_counts=True
                )
                # Frames that all tokens would fill: what is left of older frames counts by its size.
                num_recent = (self.recent_share * count / sizes.max()).long()
                recent[layer, :count] = rank >= len(sizes) - num_recent
        return whole_groups(recent, -state.temporal_patch_ids, temporal[:, None])
