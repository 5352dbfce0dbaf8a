"""V-Rex's ReSV: a sliding window, and retrieval of clusters of like keys when a question comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.archive import ArchiveKeeps, archive_policy
from hermes_stream.policies.base import (
    HashGrouping,
    MemoryPolicy,
    PolicyFacts,
    RetrievalSpec,
    check_min,
    check_seed,
)
from hermes_stream.policies.window import WindowPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ResvPolicy(MemoryPolicy):
    """Watch with a window; cluster what leaves it by the hash of its keys; questions read heavy clusters.

    A key's hash is its side of random hyperplanes. A token joins the nearest cluster of its KV head, or
    founds one. A question weighs a cluster by exp(query x mean key / sqrt(head_dim)) times its tokens, and
    reads the heaviest until they hold ``share`` of all weight, beside the window.

    Chosen where the source leaves it open: tokens are clustered when they leave the window, and a founder's
    hash is the cluster's for ever; raw keys and queries; the weight is the mean over the question's tokens
    and the query heads of a KV head; all heads of a layer read what any of them chose, since they share
    positions; where that is more than the budget leaves, the tokens of the heaviest clusters; what is read
    stands packed behind the prefix. Chunks are prefilled with the window alone: retrieval is for questions.

    Attributes:
        budget_tokens: visual tokens that a question reads at most, half of them the window, at least 1.
        share: part of the weight that is read, in (0, 1].
        hash_bits: hyperplanes, at least 1.
        max_bits: a token joins a cluster whose founder differs in at most so many bits, at least 0.
        is_bounded: window and archive together hold no more than the budget.
        archive_keeps: what a bounded archive keeps: the "newest" frames, or a "uniform" stride.
        seed: of the hyperplanes, at least 0.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="a window, and an archive on the host from which clusters of like keys are retrieved",
        paper="V-Rex (ReSV), arXiv 2512.12284",
        budget_rule="tokens a question reads, half of them the window; the archive has no bound, or window "
        "and archive share the budget (resv_bounded)",
        reads=("keys", "values", "positions"),
        at_question="weigh all clusters, copy the heaviest from the host, in each layer",
    )

    budget_tokens: int = 4000
    share: float = 0.9
    hash_bits: int = 32
    max_bits: int = 7
    is_bounded: bool = False
    archive_keeps: ArchiveKeeps = "newest"
    seed: int = 0

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_min("hash_bits", self.hash_bits, 1)
        check_min("max_bits", self.max_bits, 0)
        check_seed(self.seed)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1]; got {self.share}")

    @classmethod
    def bounded(cls, budget_tokens: int = 4000) -> ResvPolicy:
        """Return the form that holds as many bytes as other policies do."""
        return cls(budget_tokens=budget_tokens, is_bounded=True)

    @property
    def window_tokens(self) -> int:
        """Visual tokens of the window."""
        return self.budget_tokens - self.budget_tokens // 2

    def layer_budgets(self, num_layers: int) -> tuple[int, ...]:
        """Return the tokens of the window."""
        return (self.window_tokens,) * num_layers

    def retrieval(self) -> RetrievalSpec:
        """Return how clusters are found again."""
        archive_tokens = self.budget_tokens - self.window_tokens
        return RetrievalSpec(
            read_tokens=self.budget_tokens,
            reads_memory=True,
            grouping=HashGrouping(
                share=self.share, hash_bits=self.hash_bits, max_bits=self.max_bits, seed=self.seed
            ),
            archive_policy=archive_policy(self.archive_keeps, archive_tokens) if self.is_bounded else None,
        )

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep the newest whole frames."""
        return WindowPolicy(budget_tokens=self.window_tokens).plan(state)
