"""The model seam: an adapter is the only thing that knows a model family.

A frame becomes tokens in three steps: ``prepare`` makes pixels of it, ``encode`` runs the vision tower, and
``lay_out`` gives the tokens their positions, and text before them where the family writes some.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hermes_stream.layout import CacheLayout
from hermes_stream.memory.constants import sent
from hermes_stream.models.card import ModelCard
from hermes_stream.models.chat import Chat
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.identity import ModelIdentity, identify
from hermes_stream.models.patches import PatchPreprocessing
from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.models.visual import Features, Pixels, VisualTokens, joined_features, small_parts
from hermes_stream.video.frame import Frame

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WORTH_SHRINKING = 1.25  # times what the model sees


class VideoModel(ABC):
    """One loaded checkpoint. Holds weights, never a stream's state, so that many sessions share it.

    Attributes:
        family: transformers' ``model_type``.
        default_fps: frames per second that the family is used with.
        has_dynamic_resolution: frames keep their size and shape within ``min_pixels`` and ``max_pixels``.
        card: what the checkpoint says about itself.
        layout: the shape of a stream's cache.
        chat: tokenizer and chat template, split around the video.
        preprocessing: how pictures become pixel values.
        vision: transformers' vision tower.
        decoder: transformers' text model, set to the ``hermes`` attention.
        head: from a last hidden state to logits.
        give_back: returns a borrowed model to its owner, see ``close``; None for others.
        video_end: embeddings, not of text, between the video and the question; they belong to the question.
            Most families have none.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family: ClassVar[str]
    default_fps: ClassVar[float]
    has_dynamic_resolution: ClassVar[bool] = False

    card: ModelCard
    layout: CacheLayout
    chat: Chat
    preprocessing: Preprocessing | PatchPreprocessing
    vision: PreTrainedModel
    decoder: nn.Module
    head: nn.Module
    video_end: Float[Tensor, "tokens hidden"]

    give_back: Callable[[], None] | None = None

    @abstractmethod
    def __init__(self, checkpoint: Checkpoint) -> None: ...

    def close(self) -> None:
        """Give a borrowed model its attention back (see ``load_model``). Safe to repeat, and for others."""
        if self.give_back is not None:
            self.give_back()
            self.give_back = None

    def __repr__(self) -> str:
        layout = self.layout
        dtype = str(layout.dtype).removeprefix("torch.")
        return (
            f"{type(self).__name__}(name={self.card.name!r}, layers={layout.num_layers}, dtype={dtype}, "
            f"device={str(layout.device)!r})"
        )

    @cached_property
    def identity(self) -> ModelIdentity:
        """Which model this is, for memories on disk."""
        return identify(self)

    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Turn frames into what the vision tower reads, on its device.

        Args:
            frames: at least one frame, all of one size; a last temporal patch that is not full is completed
                by repeating its last frame.
        """
        images, sizes = [frame.image for frame in frames], [frame.size for frame in frames]
        return self.preprocessing.pixels(images, sizes, device=self.vision.device, dtype=self.vision.dtype)

    def shrink(self, frame: Frame) -> Frame:
        """Return the frame in the size that the model sees, or the frame itself if that is hardly smaller.

        What ``prepare`` makes of a shrunk frame is bit for bit what it makes of the frame, so that a queue
        need not hold more pixels than the model sees.

        Args:
            frame: one frame; not changed.

        Raises:
            ValueError: the model cannot read a frame of this size.
        """
        if frame.image.nbytes <= _WORTH_SHRINKING * self.preprocessing.max_image_bytes:
            return frame  # to make it a little smaller takes longer than all else that is done for it
        image = self.preprocessing.shrink(frame.image, frame.size)
        return frame if image is frame.image else replace(frame, image=image, source_size=frame.size)

    @property
    def max_frame_bytes(self) -> int:
        """Bytes of a frame at the size that the model sees, at most."""
        return self.preprocessing.max_image_bytes

    @abstractmethod
    def encode(self, pixels: Pixels) -> Features:
        """Run the vision tower. Temporal patches do not see each other, so they may be of several streams."""

    def encode_in_parts(self, pixels: Pixels) -> Features:
        """Run the vision tower on a few pictures at a time; what it makes on its way stays small."""
        parts = small_parts(pixels, self.card.frames_per_temporal_patch)
        return joined_features([self.encode(part) for part in parts])

    @abstractmethod
    def lay_out(
        self, features: Features, frames: Sequence[Frame], *, start_seconds: float, num_patches_before: int
    ) -> VisualTokens:
        """Give the tokens their positions, and put text before each temporal patch if the family has some.

        Args:
            features: of the frames.
            frames: what the features were made of.
            start_seconds: time of the stream's first frame.
            num_patches_before: temporal patches of the stream before these.
        """

    def num_tokens(self, height: int, width: int) -> int:  # noqa: ARG002
        """Return how many tokens a temporal patch of such frames takes in the memory at most, its text too.

        Args:
            height: pixels of a frame, as it came (``Frame.size``).
            width: pixels of a frame.

        Raises:
            ValueError: the model cannot read frames of this size; every other size it can.
        """
        return self.card.tokens_per_temporal_patch

    def embed(self, token_ids: Sequence[int]) -> Float[Tensor, "tokens hidden"]:
        """Look up text tokens."""
        return self.look_up(sent(torch.tensor(token_ids, dtype=torch.long), self.layout.device))

    def look_up(self, token_ids: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens hidden"]:
        """Look up text tokens that are on the model's device."""
        return self.decoder.embed_tokens(token_ids)  # type: ignore[operator]

    def logits(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch vocabulary"]:
        """Return next-token logits in float32 of last hidden states."""
        return self.head(hidden).float()
