"""The policy seam: a policy decides which visual tokens stay, the cache applies it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from hermes_stream.memory.state import MemoryState, RetentionPlan


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
        prompts: texts, each read in a true forward over the memory.
        prompt_of_layer: for each layer the index of its prompt, or None for a layer that reads none.
    """

    prompts: tuple[str, ...]
    prompt_of_layer: tuple[int | None, ...]


class MemoryPolicy(ABC):
    """Decide which visual tokens a bounded memory keeps. Holds settings only, never a stream's state.

    Attributes:
        budget_tokens: visual tokens each layer may keep (mean over layers); None keeps everything.
    """

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
