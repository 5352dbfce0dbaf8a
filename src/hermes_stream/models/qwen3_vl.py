"""Qwen3-VL: pictures of any shape, two to a frame; every frame says its time in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from hermes_stream.errors import ModelError
from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel, seconds_of
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import split_chat
from hermes_stream.models.loading.checkpoint import Checkpoint
from hermes_stream.models.mrope import offsets_with_text
from hermes_stream.models.qwen_vision import (
    encode_patches,
    max_visual_tokens,
    prepare_patches,
    read_inv_freq,
    read_preprocessing,
    read_sections,
)
from hermes_stream.models.visual import Features, Pixels, VisualTokens, with_text
from hermes_stream.video.frame import Frame

_LATEST_SECONDS = 9_999_999.9  # as long as a time may get: 115 days


@final
class Qwen3VL(VideoModel):
    """Adapter of transformers' ``Qwen3VLForConditionalGeneration``.

    A frame is a temporal patch of two pictures. Before it stand the end of the frame before, its time and its
    beginning; the end of the last frame goes with the question. The memory that ends in a frame is therefore
    the beginning of every longer one.

    As in the processors that the family was published with, frames alone have marks; newer ones of
    transformers leave the chat template's own pair around the whole video as well.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "qwen3_vl"
    default_fps = 2.0
    has_dynamic_resolution = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = checkpoint.model
        self._model = model
        self._preprocessing = read_preprocessing(checkpoint, bounds="temporal_patch")
        self.decoder, self.head = model.model.language_model, model.lm_head
        self._begin, self._end = checkpoint.tokenizer.convert_ids_to_tokens(
            [model.config.vision_start_token_id, model.config.vision_end_token_id]
        )
        self.chat = split_chat(
            checkpoint.tokenizer,
            placeholder=str(checkpoint.tokenizer.convert_ids_to_tokens(model.config.video_token_id)),
            before=self._begin,
            stop_token_ids=checkpoint.stop_token_ids,
            template=checkpoint.chat_template,
        )
        if not self.chat.before_question.startswith(self._end):
            raise ModelError(
                f"the chat template must write {self._end!r} right after the video; it writes "
                f"{self.chat.before_question!r} there"
            )
        self._most_words = len(self._words(_LATEST_SECONDS, is_first=False))
        self.card = build_card(
            checkpoint,
            tokens_per_temporal_patch=max_visual_tokens(self._preprocessing) + self._most_words,
            frames_per_temporal_patch=model.config.vision_config.temporal_patch_size,
            default_fps=self.default_fps,
            text_after_video="clock",
        )
        self.layout = build_layout(
            checkpoint, RotaryLayout.interleaved(read_inv_freq(checkpoint), read_sections(checkpoint))
        )
        self.video_end = self.embed([])

    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Resize and normalise pictures, and cut them into temporal patches."""
        return prepare_patches(self._model, self._preprocessing, frames)

    def encode(self, pixels: Pixels) -> Features:
        """Encode temporal patches one by one with the vision tower."""
        return encode_patches(self._model, pixels)

    def lay_out(
        self, features: Features, frames: Sequence[Frame], *, start_seconds: float, num_patches_before: int
    ) -> VisualTokens:
        """Put the times of temporal patches before them."""
        num_frames, rows, columns = features.grid
        pictures = self.card.frames_per_temporal_patch
        firsts = seconds_of(frames, pictures)
        lasts = seconds_of([*frames[pictures - 1 :: pictures], frames[-1]])[:num_frames]
        words = [
            self.embed(self._words(float(middle), is_first=num_patches_before + index == 0))
            for index, middle in enumerate((firsts + lasts) / 2 - start_seconds)
        ]
        visual = VisualTokens(
            embeddings=features.tokens,
            temporal_patch_index=torch.arange(num_frames).repeat_interleave(rows * columns),
            offsets=torch.zeros(3, len(features.tokens), dtype=torch.long),
            seconds=firsts,
            is_text=torch.zeros(len(features.tokens), dtype=torch.bool),
            deepstack=features.deepstack,
        )
        return with_text(visual, words, offsets_with_text([len(said) for said in words], rows, columns))

    def num_tokens(self, height: int, width: int) -> int:
        """Return the most tokens of a temporal patch of such pictures, with the words before it."""
        return self._preprocessing.tokens(height, width) + self._most_words

    def _words(self, seconds: float, *, is_first: bool) -> list[int]:
        # Rounded first: a stream that begins at another time must not say 0.2 for 0.25 and 0.3 for 1000.25.
        time = f"<{round(seconds, 6):.1f} seconds>"
        return self.chat.encode(f"{'' if is_first else self._end}{time}{self._begin}")
