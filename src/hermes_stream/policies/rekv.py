"""ReKV: a sliding window, and retrieval of whole frames from an archive when a question comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.archive import ArchiveKeeps, archive_policy
from hermes_stream.policies.base import MemoryPolicy, PatchGrouping, PolicyFacts, RetrievalSpec, check_min
from hermes_stream.policies.window import WindowPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class RekvPolicy(MemoryPolicy):
    """Watch with a window; keep what leaves it on the host; for a question, each layer reads its best frames.

    A frame is represented by the mean of its raw keys, the question by the mean of its raw queries; the score
    is their product over all query heads. Frames of the window compete with those of the archive. What is
    read stands packed behind the prefix, in the order of the stream, and the question right behind it. It all
    happens in the question's own forward, layer by layer; the whole answer reads the same frames.

    Chosen where the source leaves it open: one temporal patch is a block; no drift correction; each layer
    chooses for itself. ``bounded`` holds as many bytes as other policies do: half of the budget is the
    window, half the archive, whole frames of which leave as ``archive_keeps`` says.

    Attributes:
        budget_tokens: visual tokens of the window, and at most as many that a question reads, at least 1.
        read_patches: temporal patches that a question reads at most, at least 1; 64 in the paper.
        is_bounded: window and archive together hold no more than the budget.
        archive_keeps: what a bounded archive keeps: the "newest" frames, or a "uniform" stride.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="a window, and an archive on the host from which whole frames are retrieved",
        paper="ReKV, arXiv 2503.00540",
        budget_rule="tokens of the window, and most that a question reads; the archive has no bound, or "
        "window and archive share the budget (rekv_bounded)",
        reads=("keys", "values", "positions"),
        at_question="score all frames, copy the best from the host, in each layer",
    )

    budget_tokens: int = 4000
    read_patches: int = 64
    is_bounded: bool = False
    archive_keeps: ArchiveKeeps = "newest"

    def __post_init__(self) -> None:
        check_min("budget_tokens", self.budget_tokens, 1)
        check_min("read_patches", self.read_patches, 1)

    @classmethod
    def bounded(cls, budget_tokens: int = 4000) -> RekvPolicy:
        """Return the form that holds as many bytes as other policies do."""
        return cls(budget_tokens=budget_tokens, is_bounded=True)

    @property
    def window_tokens(self) -> int:
        """Visual tokens of the window."""
        return self.budget_tokens - self.budget_tokens // 2 if self.is_bounded else self.budget_tokens

    def layer_budgets(self, num_layers: int) -> tuple[int, ...]:
        """Return the tokens of the window."""
        return (self.window_tokens,) * num_layers

    def retrieval(self) -> RetrievalSpec:
        """Return how frames are found again."""
        archive_tokens = self.budget_tokens - self.window_tokens
        return RetrievalSpec(
            read_tokens=self.budget_tokens,
            reads_memory=False,
            grouping=PatchGrouping(max_patches=self.read_patches),
            archive_policy=archive_policy(self.archive_keeps, archive_tokens) if self.is_bounded else None,
        )

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep the newest whole frames."""
        return WindowPolicy(budget_tokens=self.window_tokens).plan(state)
