"""The model seam: an adapter is the only thing that knows a model family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hermes_stream.layout import CacheLayout
from hermes_stream.models.chat import Chat
from hermes_stream.models.loading.checkpoint import Checkpoint
from hermes_stream.models.visual import Features, Pixels, VisualTokens
from hermes_stream.policies.base import GuidancePrompts
from hermes_stream.video.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What a checkpoint says about itself.

    Attributes:
        name: what it was loaded by.
        family: transformers' ``model_type``.
        tokens_per_temporal_patch: most tokens that a temporal patch takes in the memory, its text included.
        frames_per_temporal_patch: frames that the family encodes as one: 1, or 2 with Qwen-VL.
        default_fps: sampling rate that it is used with, in pictures per second; the family's or its own.
        default_budget_tokens: memory budget when none is asked for.
        guidance_prompts: texts that guide the memory.
        training_frames: longest stream it was trained on in pictures, where the checkpoint says so.
        multiple_choice: how it chooses among options: it names a "letter", or says an option's "text".
        text_after_video: where a question stands while nothing was forgotten: at the "clock", after all
            positions, or at the "picture", after the height and width of the picture alone, as transformers
            from 5.3 on places it for families with a time axis. Afterwards it is always the clock.
    """

    name: str
    family: str
    tokens_per_temporal_patch: int
    default_fps: float
    default_budget_tokens: int
    guidance_prompts: GuidancePrompts
    frames_per_temporal_patch: int = 1
    training_frames: int | None = None
    multiple_choice: Literal["letter", "text"] = "letter"
    text_after_video: Literal["clock", "picture"] = "clock"


class VideoModel(ABC):
    """One loaded checkpoint. Holds weights, never a stream's state, so that many sessions share it.

    Attributes:
        family: transformers' ``model_type``.
        default_fps: sampling rate that the family is used with, in pictures per second.
        has_dynamic_resolution: pictures keep their size and shape within ``min_pixels`` and ``max_pixels``.
        card: what the checkpoint says about itself.
        layout: the shape of a stream's cache.
        chat: tokenizer and chat template, split around the video.
        decoder: transformers' text model, set to the ``hermes`` attention.
        head: from a last hidden state to logits.
        video_end: embeddings, no words, that stand between the video and the question; they belong to the
            question. Mostly none.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family: ClassVar[str]
    default_fps: ClassVar[float]
    has_dynamic_resolution: ClassVar[bool] = False

    card: ModelCard
    layout: CacheLayout
    chat: Chat
    decoder: nn.Module
    head: nn.Module
    video_end: Float[Tensor, "tokens hidden"]

    @abstractmethod
    def __init__(self, checkpoint: Checkpoint) -> None: ...

    @abstractmethod
    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Turn pictures into what the vision tower reads, on the model's device.

        Args:
            frames: at least one picture, all of one size; a last temporal patch that is not full is completed
                by repeating its last picture.
        """

    @abstractmethod
    def encode(self, pixels: Pixels) -> Features:
        """Run the vision tower; each frame is encoded on its own, so they may be of several streams."""

    @abstractmethod
    def lay_out(
        self, features: Features, frames: Sequence[Frame], *, start_seconds: float, num_patches_before: int
    ) -> VisualTokens:
        """Say where tokens stand in picture and time, and put words before them where the family has some.

        Args:
            features: of the frames.
            frames: the pictures that they were made of.
            start_seconds: time of the stream's first picture.
            num_patches_before: frames (temporal patches) of the stream before these.
        """

    @abstractmethod
    def num_tokens(self, height: int, width: int) -> int:
        """Return how many tokens a frame of such pictures takes in the memory, at most, words included."""

    def embed(self, token_ids: Sequence[int]) -> Float[Tensor, "tokens hidden"]:
        """Look up text tokens."""
        ids = torch.tensor(token_ids, dtype=torch.long, device=self.layout.device)
        return self.decoder.embed_tokens(ids)  # type: ignore[operator]

    def logits(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch vocabulary"]:
        """Return next-token logits in float32 of last hidden states."""
        return self.head(hidden).float()


def seconds_of(frames: Sequence[Frame], frames_per_temporal_patch: int = 1) -> Float[Tensor, " frames"]:
    """Return the time of each frame: that of its first picture."""
    return torch.tensor(
        [frame.pts_seconds for frame in frames[::frames_per_temporal_patch]], dtype=torch.float64
    )
