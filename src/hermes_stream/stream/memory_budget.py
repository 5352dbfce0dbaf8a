"""How far a memory is filled: when it must be compressed, and what it may hold while a compression waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from hermes_stream.cache import StreamCache
from hermes_stream.models.card import ModelCard
from hermes_stream.policies.base import MemoryPolicy


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBudget:
    """A policy's budget, layer by layer, against what a cache holds.

    Attributes:
        policy: says when a layer is over its budget.
        layers: visual tokens of each layer; None where the policy has no bound.
        chunk_tokens: visual tokens that are folded in at once, at most.
        patch_tokens: those of a temporal patch.
    """

    policy: MemoryPolicy
    layers: tuple[int, ...] | None
    chunk_tokens: int
    patch_tokens: int

    @classmethod
    def of(cls, policy: MemoryPolicy, card: ModelCard, num_layers: int, chunk_tokens: int) -> MemoryBudget:
        """Divide a policy's budget among a model's layers."""
        budgets = policy.layer_budgets(num_layers)
        return cls(
            policy=policy,
            layers=None if budgets is None else tuple(budgets),
            chunk_tokens=chunk_tokens,
            patch_tokens=card.tokens_per_temporal_patch,
        )

    def is_exceeded(self, cache: StreamCache) -> bool:
        """Tell whether some layer must be compressed."""
        prefix = cache.num_prefix_tokens
        return any(self.policy.exceeds(count, own, prefix) for count, own in self._held(cache))

    def num_over(self, cache: StreamCache) -> int:
        """Return by how many tokens the layer that is furthest over its budget is; 0 where none is."""
        return max((n - own for n, own in self._held(cache) if n > own), default=0)

    def fits(self, cache: StreamCache, num_added: int) -> bool:
        """Tell whether so many tokens find free slots in each layer."""
        held = zip(cache.num_tokens, cache.buffers.capacities, strict=True)
        return all(count + num_added <= slots for count, slots in held)

    def needs_compression(self, cache: StreamCache, num_new_tokens: int) -> bool:
        """Tell whether a compression was put off, and so many visual tokens may not come before it.

        A memory that waits holds its budget and one chunk at most, also where slots leave more room than
        that: the model's positions are planned for no more.
        """
        beside = self.chunk_tokens - num_new_tokens
        is_full = any(n > max(own, self.patch_tokens) + beside for n, own in self._held(cache))
        return is_full and self.is_exceeded(cache)

    def _held(self, cache: StreamCache) -> zip[tuple[int, int]]:
        return zip(cache.num_visual_tokens, self.layers or (), strict=self.layers is not None)
