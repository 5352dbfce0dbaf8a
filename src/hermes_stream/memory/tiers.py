"""Layers as memory: which decoder layers are sensory, working and long-term memory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache


class Tier(IntEnum):
    """The three kinds of memory, from shallow to deep."""

    SENSORY = 0
    WORKING = 1
    LONG_TERM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """Split a model's layers into sensory (shallow), working (middle) and long-term (deep) memory.

    Boundaries are rounded down, so that below ten layers the default sensory tier is empty.

    Attributes:
        num_layers: decoder layers of the model, at least 1.
        sensory_share: part of the layers that is sensory memory, in [0, 1].
        long_term_share: part of the layers that is long-term memory, in [0, 1]; both shares at most 1.

    Raises:
        ValueError: a count or share is out of its range.

    Paper: sec. 2
    """

    num_layers: int
    sensory_share: float = 0.1
    long_term_share: float = 0.3

    def __post_init__(self) -> None:
        if self.num_layers < 1:
            raise ValueError(f"num_layers is {self.num_layers}; a model has at least 1 layer")
        if min(self.sensory_share, self.long_term_share) < 0 or self.sensory_share + self.long_term_share > 1:
            raise ValueError(
                f"sensory_share {self.sensory_share} and long_term_share {self.long_term_share} "
                "must be at least 0 and together at most 1"
            )

    @property
    def first_working_layer(self) -> int:
        """Index of the first layer below which all are sensory; equals the number of sensory layers."""
        return int(self.sensory_share * self.num_layers)

    @property
    def first_long_term_layer(self) -> int:
        """Index of the first long-term layer; ``num_layers`` when there is none."""
        # 1 - 0.3 is the same double as 0.7, so this rounds as int(0.7 * num_layers) does.
        return max(self.first_working_layer, int((1 - self.long_term_share) * self.num_layers))

    @property
    def tier_of_layer(self) -> tuple[Tier, ...]:
        """Tier of each layer, shallow to deep."""
        return _tier_of_layer(self)

    def spread(
        self, *, sensory: float, working: float | tuple[float, float], long_term: float
    ) -> tuple[float, ...]:
        """Give each layer its tier's constant, or in working memory its point on a line.

        Args:
            sensory: value in every sensory layer.
            working: value in every working layer, or a pair ``(start, end)``: then working layer l, of those
                from s up to and without d, takes ``start + (end - start) * (l - s) / (d - s)``, so the first
                takes ``start`` and the first long-term layer would take ``end``.
            long_term: value in every long-term layer.

        Returns:
            One value per layer, shallow to deep.

        Paper: sec. 3.1, eq. 3
        """
        return _spread(self, sensory, working, long_term)


# Asked for at every compression, and always the same.
@lru_cache(maxsize=64)
def _tier_of_layer(tiers: Tiers) -> tuple[Tier, ...]:
    sensory = tiers.first_working_layer
    working = tiers.first_long_term_layer - sensory
    long_term = tiers.num_layers - sensory - working
    return (Tier.SENSORY,) * sensory + (Tier.WORKING,) * working + (Tier.LONG_TERM,) * long_term


@lru_cache(maxsize=64)
def _spread(
    tiers: Tiers, sensory: float, working: float | tuple[float, float], long_term: float
) -> tuple[float, ...]:
    start, end = working if isinstance(working, tuple) else (working, working)
    first, last = tiers.first_working_layer, tiers.first_long_term_layer
    line = (start + (end - start) * (layer - first) / (last - first) for layer in range(first, last))
    return (sensory,) * first + tuple(line) + (long_term,) * (tiers.num_layers - last)
