"""The model seam: an adapter is the only thing that knows a model family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from hermes_stream.cache import CacheLayout
from hermes_stream.models.chat import Chat
from hermes_stream.policies.base import GuidancePrompts


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What a checkpoint says about itself.

    Attributes:
        name: what it was loaded by.
        family: transformers' ``model_type``.
        tokens_per_frame: visual tokens of one frame.
        default_fps: sampling rate that the family is used with.
        default_budget_tokens: memory budget when none is asked for.
        guidance_prompts: texts that guide the memory.
        training_frames: longest stream it was trained on, where the checkpoint says so.
        multiple_choice: how it chooses among options: it names a "letter", or says an option's "text".
    """

    name: str
    family: str
    tokens_per_frame: int
    default_fps: float
    default_budget_tokens: int
    guidance_prompts: GuidancePrompts
    training_frames: int | None = None
    multiple_choice: Literal["letter", "text"] = "letter"


class VideoModel(ABC):
    """One loaded checkpoint. Holds weights, never a stream's state, so that many sessions share it.

    Attributes:
        card: what the checkpoint says about itself.
        layout: the shape of a stream's cache.
        chat: tokenizer and chat template, split around the video.
        decoder: transformers' text model, set to the ``hermes`` attention.
    """

    card: ModelCard
    layout: CacheLayout
    chat: Chat
    decoder: nn.Module

    @abstractmethod
    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Float[Tensor, "frames tokens_per_frame hidden"]:
        """Turn pictures, uint8 ``[height, width, 3]`` of any sizes, into visual tokens."""

    @abstractmethod
    def embed(self, token_ids: Sequence[int]) -> Float[Tensor, "tokens hidden"]:
        """Look up text tokens."""

    @abstractmethod
    def video_end(self) -> Float[Tensor, "tokens hidden"]:
        """Return what the family puts between the video and the question; it belongs to the question."""

    @abstractmethod
    def visual_positions(self, num_frames: int, start: int) -> Int[Tensor, "axes tokens"]:
        """Return positions of a chunk's visual tokens in host memory, from the stream's write clock on."""

    @abstractmethod
    def text_positions(self, num_tokens: int, start: int) -> Int[Tensor, "axes tokens"]:
        """Return positions of text tokens in host memory, from the stream's write clock on."""

    @abstractmethod
    def logits(self, hidden: Float[Tensor, " hidden"]) -> Float[Tensor, " vocabulary"]:
        """Return next-token logits in float32 of one last hidden state."""
