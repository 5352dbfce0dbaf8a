"""Qwen2.5-VL: pictures of any shape, two to a frame; a part of the position counts seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from hermes_stream.models.base import VideoModel, seconds_of
from hermes_stream.models.loading.checkpoint import Checkpoint
from hermes_stream.models.mrope import over_time
from hermes_stream.models.qwen_vision import (
    encode_patches,
    prepare_patches,
    read_card,
    read_chat,
    read_preprocessing,
    read_sectioned_layout,
)
from hermes_stream.models.visual import Features, Pixels, VisualTokens
from hermes_stream.video.frame import Frame

_ROUNDING = 1e-3  # so that 0.3 s after 0.1 s, at 10 per second, are 2 and not 1.99...


@final
class Qwen25VL(VideoModel):
    """Adapter of transformers' ``Qwen2_5_VLForConditionalGeneration``.

    A frame is a temporal patch of two pictures. Time runs with their presentation times, at the checkpoint's
    ``tokens_per_second``.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "qwen2_5_vl"
    default_fps = 1.0
    has_dynamic_resolution = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = checkpoint.model
        self._model = model
        self._preprocessing = read_preprocessing(checkpoint)
        self.decoder, self.head = model.model.language_model, model.lm_head
        self.card = read_card(checkpoint, self._preprocessing, default_fps=self.default_fps)
        self.layout = read_sectioned_layout(checkpoint)
        self.video_end = self.embed([])
        self.chat = read_chat(checkpoint)

    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Resize and normalise pictures, and cut them into temporal patches."""
        return prepare_patches(self._model, self._preprocessing, frames)

    def encode(self, pixels: Pixels) -> Features:
        """Encode temporal patches one by one with the vision tower."""
        return encode_patches(self._model, pixels)

    def lay_out(
        self,
        features: Features,
        frames: Sequence[Frame],
        *,
        start_seconds: float,
        num_patches_before: int,  # noqa: ARG002
    ) -> VisualTokens:
        """Let axis t run with the presentation times."""
        seconds = seconds_of(frames, self.card.frames_per_temporal_patch)
        rate = self._model.config.vision_config.tokens_per_second
        return over_time(
            features.tokens,
            grid=features.grid,
            seconds=seconds,
            time=(seconds - start_seconds) * rate + _ROUNDING,
        )

    def num_tokens(self, height: int, width: int) -> int:
        """Return the number of tokens of a temporal patch of such pictures."""
        return self._preprocessing.tokens(height, width)
