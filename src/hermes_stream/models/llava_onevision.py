"""LLaVA-OneVision: a fixed number of visual tokens per frame, one-dimensional positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel, seconds_of
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import split_chat
from hermes_stream.models.loading.checkpoint import Checkpoint
from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.models.visual import Features, Pixels, VisualTokens, features_of_frames, in_a_row
from hermes_stream.video.frame import Frame


@final
class LlavaOnevision(VideoModel):
    """Adapter of transformers' ``LlavaOnevisionForConditionalGeneration``.

    ``image_newline``, which the family puts once behind a whole video, goes with the question.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "llava_onevision"
    default_fps = 0.5

    def __init__(self, checkpoint: Checkpoint) -> None:
        model, config = checkpoint.model, checkpoint.model.config
        self._model = model
        self.decoder, self.head = model.model.language_model, model.lm_head
        self.video_end = model.model.image_newline[None].to(model.dtype)
        vision = config.vision_config
        side = math.ceil(vision.image_size // vision.patch_size / 2)
        self.card = build_card(
            checkpoint, tokens_per_temporal_patch=side * side, default_fps=self.default_fps
        )
        self.layout = build_layout(
            checkpoint, RotaryLayout.one_axis(model.model.language_model.rotary_emb.inv_freq)
        )
        self.chat = split_chat(
            checkpoint.tokenizer,
            placeholder=str(checkpoint.tokenizer.convert_ids_to_tokens(config.video_token_id)),
            stop_token_ids=checkpoint.stop_token_ids,
            template=checkpoint.chat_template,
        )
        self._preprocessing = Preprocessing.from_settings(
            checkpoint.preprocessing, image_size=vision.image_size
        )

    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Resize and normalise pictures."""
        values = self._preprocessing.pixel_values(
            [frame.image for frame in frames],
            device=self.layout.device,
            dtype=self._model.model.vision_tower.dtype,
        )
        return Pixels(values=values, grid=(len(frames), *values.shape[2:]))

    def encode(self, pixels: Pixels) -> Features:
        """Encode pictures one by one with the vision tower, project and pool them."""
        output = self._model.model.get_video_features(pixels.values[:, None], return_dict=True)
        tokens = output.pooler_output[:, : self.card.tokens_per_temporal_patch]
        return features_of_frames(tokens.to(self.layout.dtype))

    def lay_out(
        self,
        features: Features,
        frames: Sequence[Frame],
        *,
        start_seconds: float,  # noqa: ARG002
        num_patches_before: int,  # noqa: ARG002
    ) -> VisualTokens:
        """Let frames follow each other on the one axis."""
        return in_a_row(features, seconds_of(frames))

    def num_tokens(self, height: int, width: int) -> int:  # noqa: ARG002
        """Return the number of tokens of any picture."""
        return self.card.tokens_per_temporal_patch
