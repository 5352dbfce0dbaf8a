"""InternVL: numbered frames, a fixed number of visual tokens each, one-dimensional positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import split_chat
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing
from hermes_stream.models.settings import Settings
from hermes_stream.models.token_layout import insert_text, lay_out_in_sequence, patch_seconds
from hermes_stream.models.visual import Features, Pixels, VisualTokens
from hermes_stream.video.frame import Frame

_SPARE_DIGITS = 8  # numbers up to 999,999,999: thirty years at a frame a second


@final
class InternVL(VideoModel):
    """Adapter of transformers' ``InternVLForConditionalGeneration``.

    A frame's text is its number and its begin mark, ``Frame2: <img>``, behind the end mark of the frame
    before, ``</img>`` and a line break. The end mark of the last frame is at the head of the question.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "internvl"
    default_fps = 1.0

    def __init__(self, checkpoint: Checkpoint) -> None:
        model, config, tokenizer = checkpoint.model, checkpoint.model.config, checkpoint.tokenizer
        vision, decoder = config.vision_config, model.get_decoder()
        self._model = model
        self.vision, self.decoder, self.head = model.model.vision_tower, decoder, model.lm_head
        self.preprocessing = Preprocessing.from_settings(
            Settings.of(checkpoint.preprocessing, "the preprocessor file").or_else(
                image_mean=CLIP_MEAN, image_std=CLIP_STD
            ),
            image_size=vision.image_size[0],
        )
        self._begin = getattr(tokenizer, "start_image_token", None) or "<img>"
        self._end = getattr(tokenizer, "end_image_token", None) or "</img>"
        chat = split_chat(
            tokenizer,
            placeholder=getattr(tokenizer, "video_token", None) or "<video>",
            stop_token_ids=checkpoint.stop_token_ids,
            template=checkpoint.chat_template,
        )
        chat, self._before_first = chat.split_prefix(self._opening(0))
        self.chat = replace(chat, before_question=self._end + chat.before_question)
        num_text_tokens = max(len(self._text_tokens(number)) for number in (0, 1)) + _SPARE_DIGITS
        side = int(self.preprocessing.height // vision.patch_size[0] * config.downsample_ratio)
        self.card = build_card(
            checkpoint,
            tokens_per_temporal_patch=num_text_tokens + side**2,
            text_tokens_per_temporal_patch=num_text_tokens,
            default_fps=self.default_fps,
        )
        self.layout = build_layout(checkpoint, RotaryLayout.one_axis(decoder.rotary_emb.inv_freq))
        self.video_end = self.embed([])

    def encode(self, pixels: Pixels) -> Features:
        """Encode frames one by one with the vision tower, pool and project them."""
        tokens = self._model.model.get_image_features(pixels.values, return_dict=True).pooler_output
        return Features.of_frames(tokens.to(self.layout.dtype))

    def lay_out(
        self,
        features: Features,
        frames: Sequence[Frame],
        *,
        start_seconds: float,  # noqa: ARG002
        num_patches_before: int,
    ) -> VisualTokens:
        """Number the frames, and let them follow each other."""
        numbers = range(num_patches_before, num_patches_before + len(frames))
        texts = [self._text_tokens(number) for number in numbers]
        return insert_text(lay_out_in_sequence(features, patch_seconds(frames)), texts, embed=self.embed)

    def _text_tokens(self, number: int) -> list[int]:
        """Return the text before a frame, counted from 0."""
        before = f"{self._end}\n" if number else self._before_first
        return self.chat.encode(before + self._opening(number))

    def _opening(self, number: int) -> str:
        return f"Frame{number + 1}: {self._begin}"
