"""SmolVLM: frames as pictures with their time in words, few visual tokens each, one-dimensional positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import final

from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel, seconds_of
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import split_chat
from hermes_stream.models.loading.checkpoint import Checkpoint
from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.models.text_tokens import cut_cleanly, insert_text
from hermes_stream.models.visual import Features, Pixels, VisualTokens, features_of_frames, in_a_row
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

    A frame's words are its time since the beginning of the stream, in minutes and seconds, and what opens it;
    before them stands what closes the frame before. The last frame is closed at the head of the question. As
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
        vision = config.vision_config
        self._vision, self._connector = model.model.vision_model, model.model.connector
        self.decoder, self.head = model.model.text_model, model.lm_head
        self._preprocessing = Preprocessing.from_settings(
            {"resample": _LANCZOS, **checkpoint.preprocessing}, image_size=vision.image_size
        )
        self._fence = getattr(tokenizer, "fake_image_token", None) or "<fake_token_around_image>"
        self._whole = getattr(tokenizer, "global_image_token", None) or "<global-img>"
        chat = split_chat(
            tokenizer,
            placeholder="<video>",
            stop_token_ids=checkpoint.stop_token_ids,
            template=_TEMPLATE,
        )
        before_video, first = cut_cleanly(chat.encode, chat.before_video + _INTRODUCTION, self._opening(0.0))
        self._before_first = first.removesuffix(self._opening(0.0))
        self.chat = dataclasses.replace(
            chat, before_video=before_video, before_question=f"{self._fence}\n\n{chat.before_question}"
        )
        num_text_tokens = max(len(self._words(number, 0.0)) for number in (0, 1)) + _SPARE_DIGITS
        side = self._preprocessing.height // vision.patch_size // config.scale_factor
        self.card = build_card(
            checkpoint, tokens_per_temporal_patch=num_text_tokens + side * side, default_fps=self.default_fps
        )
        self.layout = build_layout(
            checkpoint, RotaryLayout.one_axis(model.model.text_model.rotary_emb.inv_freq)
        )
        self.video_end = self.embed([])

    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Resize and normalise pictures."""
        values = self._preprocessing.pixel_values(
            [frame.image for frame in frames], device=self.layout.device, dtype=self._vision.dtype
        )
        return Pixels(values=values, grid=(len(frames), *values.shape[2:]))

    def encode(self, pixels: Pixels) -> Features:
        """Encode pictures one by one with the vision tower, pool and project them."""
        # Not by get_image_features: it takes a picture of zeros, as black may be, for padding and drops it.
        tokens = self._connector(self._vision(pixel_values=pixels.values, return_dict=True).last_hidden_state)
        return features_of_frames(tokens.to(self.layout.dtype))

    def lay_out(
        self, features: Features, frames: Sequence[Frame], *, start_seconds: float, num_patches_before: int
    ) -> VisualTokens:
        """Say the times of the frames, and let them follow each other."""
        seconds = [frame.pts_seconds - start_seconds for frame in frames]
        words = [self._words(number, at) for number, at in enumerate(seconds, start=num_patches_before)]
        return insert_text(self, in_a_row(features, seconds_of(frames)), words)

    def num_tokens(self, height: int, width: int) -> int:  # noqa: ARG002
        """Return the number of tokens of any picture and of the longest words."""
        return self.card.tokens_per_temporal_patch

    def _words(self, number: int, seconds: float) -> list[int]:
        """Return the words of a frame, counted from 0, at a time of the stream."""
        return self.chat.encode((self._fence if number else self._before_first) + self._opening(seconds))

    def _opening(self, seconds: float) -> str:
        # Rounded to microseconds first, or differences of times fall short of a whole second.
        minutes, seconds = divmod(int(round(seconds, 6)), 60)
        return f"\nFrame from {minutes:02d}:{seconds:02d}:{self._fence}{self._whole}"
