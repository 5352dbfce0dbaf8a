"""The policy seam: a policy decides which visual tokens stay, the cache applies it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hermes_stream.memory.selection import indices_of, select
from hermes_stream.memory.state import MemoryState, RetentionPlan

TURN_END = "{turn_end}"
"""Stands in a guidance prompt for what a model's own template puts between a question and its answer."""

Reads = Literal["attention", "keys", "values", "positions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What stands beside a policy about it, for people and for lists.

    Attributes:
        summary: what it keeps, in a few words.
        paper: where it comes from; None for what everybody knows.
        budget_rule: what ``budget_tokens`` bounds.
        reads: what of the memory's state it looks at; "positions" is where a token stands in the stream.
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
    """Which prompts to read, and which layer listens to which.

    Attributes:
        prompts: texts, each read in a true forward over the memory; ``TURN_END`` in them is filled in.
        prompt_of_layer: for each layer the index of its prompt, or None for a layer that reads none.
        observed_tokens: so many of the chunk's newest visual tokens are observed in all layers while they are
            prefilled, instead of prompts; 0 observes none.
        advances: prompts take a true forward; else every layer reads their bare word embeddings.
    """

    prompts: tuple[str, ...] = ()
    prompt_of_layer: tuple[int | None, ...] = ()
    observed_tokens: int = 0
    advances: bool = True


class MemoryPolicy(ABC):
    """Decide which visual tokens a bounded memory keeps. Holds settings only, never a stream's state.

    Attributes:
        facts: what stands beside the policy about it.
        rebuilds_at_question: hold the newest pictures instead of a memory, as many whole frames as the budget
            has room for, and prefill them when a question comes.
        budget_tokens: visual tokens each layer may keep (mean over layers); None keeps everything.
    """

    facts: ClassVar[PolicyFacts]
    rebuilds_at_question: ClassVar[bool] = False
    budget_tokens: int | None

    @abstractmethod
    def plan(self, state: MemoryState) -> RetentionPlan:
        """Choose what stays. Called when a layer holds more than its budget."""

    def layer_budgets(self, num_layers: int) -> tuple[int, ...] | None:
        """Return the budget of each layer in tokens, or None when there is no bound."""
        return None if self.budget_tokens is None else (self.budget_tokens,) * num_layers

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


def keeping(kept: Bool[Tensor, "layers tokens"], *, reindex: bool = False) -> RetentionPlan:
    """Return the plan that keeps these tokens and merges nothing."""
    nothing = torch.zeros(len(kept), dtype=torch.bool, device=kept.device)
    return RetentionPlan(keep=indices_of(kept), summarize=nothing, reindex=reindex)


def keeping_best(
    scores: Float[Tensor, "layers tokens"], state: MemoryState, budget_tokens: int
) -> RetentionPlan:
    """Return the plan that keeps each layer's protected tokens, then its best, and merges nothing."""
    budgets = torch.full((state.num_layers,), budget_tokens, device=scores.device)
    keep = select(scores, state.present, budgets, protected=state.protected)
    return RetentionPlan(keep=keep, summarize=torch.zeros_like(budgets, dtype=torch.bool))


def check_min(name: str, value: float, least: float) -> None:
    """Refuse a field below its least value.

    Raises:
        ValueError: it is.
    """
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}; got {value}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a field that is none of its choices.

    Raises:
        ValueError: it is none.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
