"""The memory map of a session: for each layer, which moments survive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hermes_stream.memory.state import MemoryState
from hermes_stream.memory.tiers import Tier, Tiers
from hermes_stream.policies import HermesPolicy
from hermes_stream.stream import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMemory:
    """What one layer holds.

    Attributes:
        layer_idx: which layer, from 0.
        tier: "sensory", "working" or "long_term"; None if the policy has no tiers.
        num_tokens: visual tokens of each temporal patch of the map, merged ones included.
        num_text_tokens: text tokens of each.
        num_summaries: tokens that stand for evicted ones, of no temporal patch.
        num_summarized_tokens: how many those stand for.
    """

    layer_idx: int
    tier: str | None
    num_tokens: tuple[int, ...]
    num_text_tokens: tuple[int, ...]
    num_summaries: int
    num_summarized_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMap:
    """Which moments survive in which layer.

    Attributes:
        temporal_patch_ids: those of which any layer holds anything, oldest first.
        seconds: presentation time of each.
        layers: shallow to deep.
    """

    temporal_patch_ids: tuple[int, ...]
    seconds: tuple[float, ...]
    layers: tuple[LayerMemory, ...]


def memory_map(session: Session) -> MemoryMap:
    """Return what a session's memory holds now; frames that wait for their chunk are not in it yet."""
    return map_of(session.cache.state(), tiers=tiers_of(session))


def tiers_of(session: Session) -> Tiers | None:
    """Return the tiers of the layers; None if the policy has none."""
    policy, num_layers = session.policy, session.model.layout.num_layers
    return policy.tiers(num_layers) if isinstance(policy, HermesPolicy) else None


def map_of(state: MemoryState, *, tiers: Tiers | None = None) -> MemoryMap:
    """Count what each layer holds of each temporal patch.

    Args:
        state: a memory.
        tiers: of its layers.
    """
    patch_ids, counts, present = state.temporal_patch_ids.cpu(), state.counts.cpu(), state.present.cpu()
    is_of_patch, is_summary = present & (patch_ids >= 0), present & (patch_ids < 0)
    patches, own_index = patch_ids[is_of_patch].unique(return_inverse=True)
    seconds = torch.zeros(len(patches), dtype=torch.double)
    seconds.scatter_(0, own_index, state.pts_seconds.cpu()[is_of_patch].double())
    patch_index = torch.zeros_like(patch_ids)
    patch_index[is_of_patch] = own_index
    tier_of_layer: Sequence[Tier | None] = tiers.tier_of_layer if tiers else (None,) * state.num_layers

    def count(layer: int, *, is_text: bool) -> tuple[int, ...]:
        own = is_of_patch[layer] & ((counts[layer] == 0) == is_text)
        return tuple(torch.bincount(patch_index[layer, own], minlength=len(patches)).tolist())

    return MemoryMap(
        temporal_patch_ids=tuple(patches.tolist()),
        seconds=tuple(seconds.tolist()),
        layers=tuple(
            LayerMemory(
                layer_idx=layer,
                tier=None if tier is None else tier.name.lower(),
                num_tokens=count(layer, is_text=False),
                num_text_tokens=count(layer, is_text=True),
                num_summaries=int(is_summary[layer].sum()),
                num_summarized_tokens=int(counts[layer, is_summary[layer]].sum()),
            )
            for layer, tier in enumerate(tier_of_layer)
        ),
    )
