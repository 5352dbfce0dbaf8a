"""What an adapter is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hermes_stream.models.settings import Settings
from hermes_stream.policies.base import GuidancePrompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A loaded model, its tokenizer, and the settings beside its weights.

    Attributes:
        name: what it was loaded by.
        model: transformers' model, in evaluation mode, with the ``hermes`` attention in its decoder, and an
            ``hf_device_map`` where it is spread over several devices.
        tokenizer: the checkpoint's own.
        chat_template: the multimodal template beside the weights; None takes the tokenizer's.
        preprocessing: settings of its preprocessor file, empty where there is none.
        guidance_prompts: its own, or the paper's.
        multiple_choice: how it chooses among options.
        stop_token_ids: tokens that end an answer.
        revision: commit on the hub; None for what does not come from there.
        min_pixels: fewest pixels of a frame that the user asked for; None takes the checkpoint's.
        max_pixels: most pixels of a frame that the user asked for; None takes the checkpoint's.
    """

    name: str
    model: Any
    tokenizer: Any
    chat_template: str | None
    preprocessing: Mapping[str, Any] | Settings
    guidance_prompts: GuidancePrompts
    multiple_choice: Literal["letter", "text"]
    stop_token_ids: frozenset[int]
    revision: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
