"""InternVL: frames as numbered pictures, a fixed number of visual tokens each, one-dimensional positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import final

from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel, seconds_of
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import split_chat
from hermes_stream.models.loading.checkpoint import Checkpoint
from hermes_stream.models.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing
from hermes_stream.models.text_tokens import cut_cleanly, insert_text
from hermes_stream.models.visual import Features, Pixels, VisualTokens, features_of_frames, in_a_row
from hermes_stream.video.frame import Frame

_SPARE_DIGITS = 8  # numbers up to 999,999,999: thirty years at a frame a second


@final
class InternVL(VideoModel):
    """Adapter of transformers' ``InternVLForConditionalGeneration``.

    A frame's words are its number and what opens it, ``Frame2: <img>``, and before them what closes the frame
    before, ``</img>`` and a line break. The last frame is closed at the head of the question.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "internvl"
    default_fps = 1.0

    def __init__(self, checkpoint: Checkpoint) -> None:
        model, config = checkpoint.model, checkpoint.model.config
        vision, tokenizer = config.vision_config, checkpoint.tokenizer
        self._model = model
        self.decoder, self.head = model.model.language_model, model.lm_head
        self._preprocessing = Preprocessing.from_settings(
            {"image_mean": CLIP_MEAN, "image_std": CLIP_STD, **checkpoint.preprocessing},
            image_size=vision.image_size[0],
        )
        self._open = getattr(tokenizer, "start_image_token", None) or "<img>"
        self._close = getattr(tokenizer, "end_image_token", None) or "</img>"
        chat = split_chat(
            tokenizer,
            placeholder=getattr(tokenizer, "video_token", None) or "<video>",
            stop_token_ids=checkpoint.stop_token_ids,
            template=checkpoint.chat_template,
        )
        before_video, first = cut_cleanly(chat.encode, chat.before_video, self._opening(0))
        self.chat = dataclasses.replace(
            chat, before_video=before_video, before_question=self._close + chat.before_question
        )
        self._before_first = first.removesuffix(self._opening(0))
        num_text_tokens = max(len(self._words(number)) for number in (0, 1)) + _SPARE_DIGITS
        side = self._preprocessing.height // vision.patch_size[0] * config.downsample_ratio
        self.card = build_card(
            checkpoint,
            tokens_per_temporal_patch=num_text_tokens + int(side) ** 2,
            default_fps=self.default_fps,
        )
        self.layout = build_layout(
            checkpoint, RotaryLayout.one_axis(model.model.language_model.rotary_emb.inv_freq)
        )
        self.video_end = self.embed([])

    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Resize and normalise pictures."""
        values = self._preprocessing.pixel_values(
            [frame.image for frame in frames], device=self.layout.device, dtype=self._model.dtype
        )
        return Pixels(values=values, grid=(len(frames), *values.shape[2:]))

    def encode(self, pixels: Pixels) -> Features:
        """Encode pictures one by one with the vision tower, pool and project them."""
        tokens = self._model.model.get_image_features(pixels.values, return_dict=True).pooler_output
        return features_of_frames(tokens.to(self.layout.dtype))

    def lay_out(
        self,
        features: Features,
        frames: Sequence[Frame],
        *,
        start_seconds: float,  # noqa: ARG002
        num_patches_before: int,
    ) -> VisualTokens:
        """Number the frames, and let them follow each other."""
        words = [
            self._words(number) for number in range(num_patches_before, num_patches_before + len(frames))
        ]
        return insert_text(self, in_a_row(features, seconds_of(frames)), words)

    def num_tokens(self, height: int, width: int) -> int:  # noqa: ARG002
        """Return the number of tokens of any picture and of the longest words."""
        return self.card.tokens_per_temporal_patch

    def _words(self, number: int) -> list[int]:
        """Return the words of a frame, counted from 0."""
        return self.chat.encode(
            (f"{self._close}\n" if number else self._before_first) + self._opening(number)
        )

    def _opening(self, number: int) -> str:
        return f"Frame{number + 1}: {self._open}"
