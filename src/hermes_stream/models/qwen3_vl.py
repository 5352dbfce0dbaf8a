"""Qwen3-VL: frames of any shape, two encoded as one; text before every temporal patch says its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from hermes_stream.errors import ModelError
from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import split_chat
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.patch_tower import PatchTower
from hermes_stream.models.patches import PatchPreprocessing
from hermes_stream.models.qwen_vl import encode_patches, read_preprocessing, read_rotary
from hermes_stream.models.token_layout import (
    insert_text,
    lay_out_in_sequence,
    mrope_offsets,
    patch_seconds,
)
from hermes_stream.models.visual import Features, Pixels, VisualTokens
from hermes_stream.video.frame import Frame

_MAX_SECONDS = 9_999_999.9  # 115 days; room is kept for the text of this time


@final
class Qwen3VL(VideoModel):
    """Adapter of transformers' ``Qwen3VLForConditionalGeneration``.

    The text of a temporal patch is the end mark of the patch before, its time and its begin mark; the end
    mark of the last patch goes with the question. The memory up to a patch is therefore the beginning of
    every longer one.

    As in the processors that the family was published with, temporal patches alone have marks; newer ones of
    transformers leave the chat template's own pair around the whole video as well.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "qwen3_vl"
    default_fps = 2.0
    has_dynamic_resolution = True
    preprocessing: PatchPreprocessing

    def __init__(self, checkpoint: Checkpoint) -> None:
        model, tokenizer = checkpoint.model, checkpoint.tokenizer
        config = model.config
        self._model, self._tower = model, PatchTower(model.model.visual)
        self.vision, self.decoder, self.head = model.model.visual, model.model.language_model, model.lm_head
        self.preprocessing = read_preprocessing(checkpoint, bounds="temporal_patch")
        self._begin, self._end, placeholder = tokenizer.convert_ids_to_tokens(
            [config.vision_start_token_id, config.vision_end_token_id, config.video_token_id]
        )
        self.chat = split_chat(
            tokenizer,
            placeholder=placeholder,
            before=self._begin,
            stop_token_ids=checkpoint.stop_token_ids,
            template=checkpoint.chat_template,
        )
        if not self.chat.before_question.startswith(self._end):
            raise ModelError(
                f"the chat template must write {self._end!r} right after the video; it writes "
                f"{self.chat.before_question!r} there"
            )
        self._max_text_tokens = len(self._text_tokens(_MAX_SECONDS, is_first=False))
        self.card = build_card(
            checkpoint,
            tokens_per_temporal_patch=self.preprocessing.max_tokens + self._max_text_tokens,
            text_tokens_per_temporal_patch=self._max_text_tokens,
            frames_per_temporal_patch=config.vision_config.temporal_patch_size,
            default_fps=self.default_fps,
        )
        rotary = RotaryLayout.interleaved(*read_rotary(checkpoint))
        self.layout = build_layout(checkpoint, rotary, grid_follows_time=True)
        self.video_end = self.embed([])

    def encode(self, pixels: Pixels) -> Features:
        """Encode temporal patches one by one with the vision tower."""
        return encode_patches(self._model, self._tower, pixels)

    def lay_out(
        self, features: Features, frames: Sequence[Frame], *, start_seconds: float, num_patches_before: int
    ) -> VisualTokens:
        """Put the times of temporal patches before them."""
        num_patches, rows, columns = features.grid
        step = self.card.frames_per_temporal_patch
        firsts = patch_seconds(frames, step)
        lasts = patch_seconds([*frames[step - 1 :: step], frames[-1]])[:num_patches]
        texts = [
            self._text_tokens(middle, is_first=number == 0)
            for number, middle in enumerate(
                ((firsts + lasts) / 2 - start_seconds).tolist(), num_patches_before
            )
        ]
        offsets = mrope_offsets([len(text) for text in texts], rows, columns)
        return insert_text(lay_out_in_sequence(features, firsts), texts, embed=self.embed, offsets=offsets)

    def num_tokens(self, height: int, width: int) -> int:
        """Return the most tokens of a temporal patch of such frames, its text included."""
        return self.preprocessing.tokens(height, width) + self._max_text_tokens

    def _text_tokens(self, seconds: float, *, is_first: bool) -> list[int]:
        # Rounded first: a stream that begins at another time must not say 0.2 for 0.25 and 0.3 for 1000.25.
        time = f"<{round(seconds, 6):.1f} seconds>"
        return self.chat.encode(f"{'' if is_first else self._end}{time}{self._begin}")
