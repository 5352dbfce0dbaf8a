"""A random sample with the same quota for every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hermes_stream.memory.random_keys import random_keys
from hermes_stream.memory.selection import rank_within
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts, check_min, check_seed, keeping_best


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifiedPolicy(MemoryPolicy):
    """Give every frame the same quota, filled at random: all first tokens, then all second ones, and so on.

    The last round, and the first where there are more frames than room, goes to the smallest random numbers.
    What a frame cannot use goes to the others. Positions are lazy.

    Attributes:
        budget_tokens: visual tokens each layer keeps, at least 1.
        per_layer: draw in each layer on its own instead of the same in all.
        seed: of the draw, at least 0.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="the same number of tokens of every frame, drawn at random", paper=None
    )

    budget_tokens: int = 4000
    per_layer: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_seed(self.seed)

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Fill the quotas round by round."""
        keys = random_keys(state.token_ids, self.seed, state.pts_seconds.dtype, per_layer=self.per_layer)
        # The rank is the round; keys below 1 order the tokens within it.
        rounds = rank_within(state.temporal_patch_ids, keys)
        return keeping_best(-rounds - keys, state, self.budget_tokens)
