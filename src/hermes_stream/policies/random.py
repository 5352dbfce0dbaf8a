"""A uniform random sample of the whole stream: the reservoir."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from hermes_stream.memory.random_keys import random_keys
from hermes_stream.memory.selection import whole_groups
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import (
    MemoryPolicy,
    PolicyFacts,
    check_choice,
    check_min,
    check_seed,
    keeping,
    keeping_best,
)

Unit = Literal["tokens", "patches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomPolicy(MemoryPolicy):
    """Give each token one random number when it comes; keep the smallest ones (a reservoir).

    Every token of the past is as likely to be there as any other, after any number of compressions.
    Positions are lazy.

    Attributes:
        budget_tokens: visual tokens each layer keeps, at least 1.
        unit: draw "tokens", or whole temporal "patches"; a first one larger than the budget keeps its newest
            tokens.
        per_layer: draw in each layer on its own instead of the same in all.
        seed: of the draw, at least 0.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="a fair random sample of all tokens that ever came (a reservoir)", paper=None
    )

    budget_tokens: int = 4000
    unit: Unit = "tokens"
    per_layer: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_seed(self.seed)
        check_choice("unit", self.unit, get_args(Unit))

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep the tokens, or whole patches, that have the smallest numbers."""
        dtype = state.pts_seconds.dtype
        if self.unit == "tokens":
            keys = random_keys(state.token_ids, self.seed, dtype, per_layer=self.per_layer)
            return keeping_best(-keys, state, self.budget_tokens)
        keys = random_keys(state.temporal_patch_ids, self.seed, dtype, per_layer=self.per_layer)
        return keeping(whole_groups(state.present, keys, self.budget_tokens))
