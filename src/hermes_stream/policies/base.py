"""The policy seam: a policy decides which visual tokens stay, the cache applies it.

A frame in the description of a method is what its model encodes as one: a temporal patch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.memory.positions import PositionRule
from hermes_stream.memory.selection import indices_of, select
from hermes_stream.memory.state import MemoryState, MergedSlots, RetentionPlan

TURN_END = "{turn_end}"
"""Placeholder in a guidance prompt: the text that a model's template puts between question and answer."""

Reads = Literal["attention", "keys", "values", "positions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What is stated about a policy, for readers and for lists of policies.

    Attributes:
        summary: what it keeps, in a few words.
        paper: title and arXiv number; None for methods without a paper.
        budget_rule: what ``budget_tokens`` bounds.
        reads: parts of the memory's state that it uses; "positions" means ids, temporal patches and times.
        at_question: what is computed when a question comes, beside the question itself.
    """

    summary: str
    paper: str | None
    budget_rule: str = "visual tokens each layer keeps"
    reads: tuple[Reads, ...] = ("positions",)
    at_question: str = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidancePrompts:
    """The texts whose attention guides the memory; a checkpoint's folder may bring its own.

    ``{last_conversation}`` in the second pair is filled with the last question and its answer.

    Paper: app. B.
    """

    local_prompt: str = (
        "Describe the current scene in detail, focusing on specific objects, fine-grained actions, "
        "and spatial relationships."
    )
    global_prompt: str = (
        "Summarize the video narrative, identifying main characters, key events, timeline changes, "
        "and the overall theme."
    )
    local_opening: str = "Find recent details related to: {last_conversation}."
    global_opening: str = "Context summary: {last_conversation}."

    def texts(self, last_conversation: str | None) -> tuple[str, str]:
        """Return the local and the global prompt, opened by the last conversation where there is one."""
        if not last_conversation:
            return self.local_prompt, self.global_prompt
        local_opening = self.local_opening.replace("{last_conversation}", last_conversation)
        global_opening = self.global_opening.replace("{last_conversation}", last_conversation)
        return f"{local_opening} {self.local_prompt}", f"{global_opening} {self.global_prompt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """Which guidance prompts are read, and which layer reads which.

    Attributes:
        prompts: texts, each read in a true forward over the memory; ``TURN_END`` in them is filled in.
        prompt_of_layer: for each layer the index of its prompt, or None for a layer that reads none.
        observed_tokens: number of the chunk's newest visual tokens whose attention is observed in all layers
            while they are prefilled, instead of prompts; 0 observes none.
        advances: True runs prompts through the layers; False lets every layer read their token embeddings.
    """

    prompts: tuple[str, ...] = ()
    prompt_of_layer: tuple[int | None, ...] = ()
    observed_tokens: int = 0
    advances: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """What a policy keeps of a state, whatever the budgets: what they do not change is computed once.

    Attributes:
        plan: from the budget of each layer, on the state's device, to the tokens that stay ``[layers,
            tokens]``, and the layers that make a summary of what leaves, within their budget ``[layers]``.
        budgets: from a mean budget and a number of layers to the budget of each.
        reindex: see ``RetentionPlan``.
    """

    plan: Callable[[Int[Tensor, " layers"]], tuple[Tensor, Tensor]]
    budgets: Callable[[int, int], tuple[int, ...]]
    reindex: bool


class MemoryPolicy(ABC):
    """Decide which visual tokens a bounded memory keeps. Holds settings only, never a stream's state.

    Attributes:
        facts: what is stated about the policy.
        rebuilds_at_question: True holds the newest frames, as many as the budget has room for, instead of a
            memory, and prefills them when a question comes.
        budget_tokens: visual tokens each layer may keep (mean over layers); None keeps everything.
    """

    facts: ClassVar[PolicyFacts]
    rebuilds_at_question: ClassVar[bool] = False
    budget_tokens: int | None

    @property
    def position_rule(self) -> PositionRule:
        """How positions change when the memory is compressed, and when its gaps are closed near the limit."""
        return PositionRule()

    @abstractmethod
    def plan(self, state: MemoryState) -> RetentionPlan:
        """Choose what stays. Called when a layer holds more than its budget."""

    def choosing(self, state: MemoryState) -> Choosing | None:  # noqa: ARG002
        """Return what plans for one budget after the other; None where only ``plan`` does.

        For a policy without ``merge``, whose larger budgets keep all that its smaller ones keep.

        Args:
            state: as for ``plan``.
        """
        return None

    def layer_budgets(self, num_layers: int) -> tuple[int, ...] | None:
        """Return the budget of each layer in tokens, or None when there is no bound."""
        return None if self.budget_tokens is None else (self.budget_tokens,) * num_layers

    def with_default_budget(self, budget_tokens: int) -> MemoryPolicy:  # noqa: ARG002
        """Return the policy with this budget if its own was left open; a model's default closes it."""
        return self

    def exceeds(self, num_visual_tokens: int, budget_tokens: int, num_prefix_tokens: int) -> bool:  # noqa: ARG002
        """Tell whether a layer with this many visual tokens must be compressed."""
        return num_visual_tokens > budget_tokens

    def guidance(
        self,
        num_layers: int,  # noqa: ARG002
        prompts: GuidancePrompts,  # noqa: ARG002
        last_conversation: str | None,  # noqa: ARG002
    ) -> Guidance | None:
        """Name the prompts whose attention ``plan`` needs; None reads nothing."""
        return None

    def retrieval(self) -> RetrievalSpec | None:
        """Say how evicted tokens are archived and found again for a question; None forgets them for good."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGrouping:
    """Group archived tokens by temporal patch; a question reads the patches whose mean key answers it best.

    Attributes:
        max_patches: temporal patches that a question reads, at most.
    """

    max_patches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HashGrouping:
    """Group each KV head's keys by random-hyperplane hash; a question reads the heaviest clusters.

    Attributes:
        share: part of the weight that is read, in (0, 1].
        hash_bits: bits of the hash.
        max_bits: a key joins a cluster whose founder differs in at most so many bits.
        seed: of the hyperplanes.
    """

    share: float
    hash_bits: int
    max_bits: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalSpec:
    """How evicted tokens are archived, and which of them a question reads; ``retrieval`` carries it out.

    Attributes:
        read_tokens: visual tokens that a question reads in each layer, at most.
        reads_memory: the question reads all of the memory beside what it retrieves; else the memory's tokens
            compete with those of the archive.
        grouping: ``PatchGrouping``, ``HashGrouping``, or a ``retrieval.grouping.Grouper`` of one's own.
        archive_policy: decides what the archive keeps, its budget the bound; None keeps all.
    """

    read_tokens: int
    reads_memory: bool
    grouping: Any
    archive_policy: MemoryPolicy | None = None


def keeping(
    kept: Bool[Tensor, "layers_or_one tokens"],
    *,
    summarize: Bool[Tensor, " layers"] | None = None,
    reindex: bool = False,
    merge: MergedSlots | None = None,
    num_kept: tuple[int, ...] | None = None,
    num_new: tuple[int, ...] | None = None,
) -> RetentionPlan:
    """Return the plan that keeps these tokens; by default no layer summarizes, re-indexes or merges.

    Args:
        kept: True where a token stays; of one layer, where all that ``summarize`` has keep the same.
        summarize: see ``RetentionPlan``, as what follows.
        reindex: likewise.
        merge: likewise.
        num_kept: likewise.
        num_new: likewise.
    """
    if summarize is None:
        summarize = torch.zeros(len(kept), dtype=torch.bool, device=kept.device)
    keep = indices_of(kept, num_kept)
    return RetentionPlan(
        keep=keep.expand(len(summarize), -1),
        summarize=summarize,
        reindex=reindex,
        merge=merge,
        num_kept=num_kept,
        num_new=num_new,
        is_shared=len(kept) < len(summarize),
    )


def keeping_best(
    scores: Float[Tensor, "layers tokens"], state: MemoryState, budget_tokens: int
) -> RetentionPlan:
    """Return the plan that keeps each layer's best tokens and merges nothing."""
    budgets = torch.full((state.num_layers,), budget_tokens, device=scores.device)
    return keeping(select(scores, state.present, budgets))


def check_min(name: str, value: float, minimum: float) -> None:
    """Refuse a field below its minimum.

    Raises:
        ValueError: the value is below the minimum, or no number (NaN).
    """
    if not value >= minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {value}")


def check_seed(seed: int) -> None:
    """Refuse a seed that is no whole number of 63 bits.

    Raises:
        ValueError: it is none.
    """
    check_min("seed", seed, 0)
    if not isinstance(seed, int) or seed >= 2**63:
        raise ValueError(f"seed must be a whole number of at most {2**63 - 1}; got {seed}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a field that is not one of its choices.

    Raises:
        ValueError: the value is not among the choices.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def check_prompts(prompts: object) -> None:
    """Refuse what are not two texts, nor None.

    Raises:
        ValueError: it is something else, or one of them is empty.
    """
    texts = prompts if isinstance(prompts, tuple) and len(prompts) == 2 else ("",)
    if prompts is not None and not all(isinstance(one, str) and one.strip() for one in texts):
        raise ValueError(f"prompts must be two texts, local and global, or None; got {prompts!r}")
