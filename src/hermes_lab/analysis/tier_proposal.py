"""Where the boundaries of a model's tiers would lie, by a simple rule on what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from hermes_stream.memory.tiers import Tier, Tiers

RECENT_FROM = 0.75
"""Recency index from which a layer attends to the newest: the mean age is at most a quarter of the stream."""

PERIODIC_FROM = 0.2
"""Periodicity from which a layer counts as having anchor tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierProposal:
    """Boundaries of the tiers.

    Attributes:
        num_sensory_layers: leading layers that attend to the newest.
        num_long_term_layers: closing layers that attend to the past, and to anchor tokens.
        sensory_share: the field of ``HermesPolicy`` that gives so many.
        long_term_share: likewise.
    """

    num_sensory_layers: int
    num_long_term_layers: int
    sensory_share: float
    long_term_share: float


def propose_tiers(recency: Sequence[float], periodicity: Sequence[float | None]) -> TierProposal:
    """Propose boundaries of the tiers.

    Sensory are the first layers, as long as their recency index is at least 0.75. Long-term are the last
    layers, counted from the deepest, as long as their recency index is below 0.75 and their periodicity at
    least 0.2. The rest is working memory. Both numbers are ours; a proposal is to be tried, not believed.

    Args:
        recency: recency index of each layer, shallow to deep.
        periodicity: of each layer; None counts as none.
    """
    num_layers = len(recency)
    num_sensory = len(list(takewhile(lambda index: index >= RECENT_FROM, recency)))
    is_long_term = [
        index < RECENT_FROM and (period or 0.0) >= PERIODIC_FROM
        for index, period in zip(recency, periodicity, strict=True)
    ]
    num_long_term = len(list(takewhile(bool, reversed(is_long_term))))
    return TierProposal(
        num_sensory_layers=num_sensory,
        num_long_term_layers=num_long_term,
        sensory_share=_share(num_sensory, num_layers, Tier.SENSORY),
        long_term_share=_share(num_long_term, num_layers, Tier.LONG_TERM),
    )


def _share(count: int, num_layers: int, tier: Tier) -> float:
    """Return the shortest decimal that gives a tier this many layers."""
    for digits in range(1, 7):
        nearest, step = round(count / num_layers, digits), 10**-digits
        for share in (nearest, round(nearest + step, digits), round(nearest - step, digits)):
            if 0 <= share <= 1 and _num_layers_of(tier, share, num_layers) == count:
                return share
    raise AssertionError(f"no share gives {count} of {num_layers} layers")


def _num_layers_of(tier: Tier, share: float, num_layers: int) -> int:
    sensory, long_term = (share if tier == one else 0.0 for one in (Tier.SENSORY, Tier.LONG_TERM))
    tiers = Tiers(num_layers=num_layers, sensory_share=sensory, long_term_share=long_term)
    return tiers.tier_of_layer.count(tier)
