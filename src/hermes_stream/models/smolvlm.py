"""SmolVLM: frames with their time as text, few visual tokens each, one-dimensional positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch

from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import split_chat
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.models.settings import Settings
from hermes_stream.models.token_layout import insert_text, lay_out_in_sequence, patch_seconds
from hermes_stream.models.visual import Features, Pixels, VisualTokens
from hermes_stream.video.frame import Frame

_INTRODUCTION = "You are provided the following series of frames from a video.\n"
_TEMPLATE = (
    "{{ '<|im_start|>' }}{% for message in messages %}{{ message['role'] | capitalize + ': ' }}"
    "{% for part in message['content'] %}{{ '<video>' if part['type'] == 'video' else part['text'] }}"
    "{% endfor %}{{ '<end_of_utterance>\n' }}{% endfor %}{{ 'Assistant:' }}"
)
_LANCZOS = 1
_SPARE_DIGITS = 5  # minutes up to 9,999,999: nineteen years


@final
class SmolVLM(VideoModel):
    """Adapter of transformers' ``SmolVLMForConditionalGeneration``.

    A frame's text is its time since the beginning of the stream, in minutes and seconds, and its begin mark,
    behind the end mark of the frame before. The end mark of the last frame is at the head of the question. As
    in transformers, a frame of a video is never split into tiles, and a chat with a video has one template,
    not the checkpoint's own, which writes nothing for a video.

    Differs: the introduction of a video names its number of frames and its duration; a stream knows neither,
    so both are left out.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "smolvlm"
    default_fps = 1.0

    def __init__(self, checkpoint: Checkpoint) -> None:
        model, config, tokenizer = checkpoint.model, checkpoint.model.config, checkpoint.tokenizer
        vision, decoder = config.vision_config, model.get_decoder()
        self._connector = model.model.connector
        self.vision, self.decoder, self.head = model.model.vision_model, decoder, model.lm_head
        self.preprocessing = Preprocessing.from_settings(
            Settings.of(checkpoint.preprocessing, "the preprocessor file").or_else(resample=_LANCZOS),
            image_size=vision.image_size,
        )
        self._mark = getattr(tokenizer, "fake_image_token", None) or "<fake_token_around_image>"
        self._whole = getattr(tokenizer, "global_image_token", None) or "<global-img>"
        chat = split_chat(
            tokenizer,
            placeholder="<video>",
            stop_token_ids=checkpoint.stop_token_ids,
            template=_TEMPLATE,
        )
        chat = replace(chat, before_video=chat.before_video + _INTRODUCTION)
        chat, self._before_first = chat.split_prefix(self._opening(0.0))
        self.chat = replace(chat, before_question=f"{self._mark}\n\n{chat.before_question}")
        num_text_tokens = max(len(self._text_tokens(number, 0.0)) for number in (0, 1)) + _SPARE_DIGITS
        side = self.preprocessing.height // vision.patch_size // config.scale_factor
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
        # Not by get_image_features: it takes a picture of zeros, as black may be, for padding and drops it.
        # Nor by the tower's forward: it waits for a GPU twice, to send a mask and see that it hides nothing.
        tower, pictures = self.vision, pixels.values
        sides = [side // tower.patch_size for side in pictures.shape[2:]]
        is_there = torch.ones(len(pictures), *sides, dtype=torch.bool, device=pictures.device)
        patches = tower.embeddings(pixel_values=pictures, patch_attention_mask=is_there)
        patches = tower.encoder(inputs_embeds=patches, attention_mask=None).last_hidden_state
        tokens = self._connector(tower.post_layernorm(patches))
        return Features.of_frames(tokens.to(self.layout.dtype))

    def lay_out(
        self, features: Features, frames: Sequence[Frame], *, start_seconds: float, num_patches_before: int
    ) -> VisualTokens:
        """Put the times of frames before them, and let them follow each other."""
        texts = [
            self._text_tokens(number, frame.pts_seconds - start_seconds)
            for number, frame in enumerate(frames, start=num_patches_before)
        ]
        return insert_text(lay_out_in_sequence(features, patch_seconds(frames)), texts, embed=self.embed)

    def _text_tokens(self, number: int, seconds: float) -> list[int]:
        """Return the text before a frame, counted from 0, at a time of the stream."""
        return self.chat.encode((self._mark if number else self._before_first) + self._opening(seconds))

    def _opening(self, seconds: float) -> str:
        # Rounded to microseconds first, or differences of times fall short of a whole second.
        minutes, seconds = divmod(int(round(seconds, 6)), 60)
        return f"\nFrame from {minutes:02d}:{seconds:02d}:{self._mark}{self._whole}"
