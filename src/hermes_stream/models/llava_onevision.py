"""LLaVA-OneVision: a fixed number of visual tokens per frame, one-dimensional positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import split_chat
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.models.token_layout import lay_out_in_sequence, patch_seconds
from hermes_stream.models.visual import Features, Pixels, VisualTokens
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
        decoder = model.get_decoder()
        self._model = model
        self.vision, self.decoder, self.head = model.model.vision_tower, decoder, model.lm_head
        self.video_end = model.model.image_newline[None].to(model.dtype)
        image_size = config.vision_config.image_size
        self.preprocessing = Preprocessing.from_settings(checkpoint.preprocessing, image_size=image_size)
        side = math.ceil(image_size // config.vision_config.patch_size / 2)
        self.card = build_card(
            checkpoint, tokens_per_temporal_patch=side * side, default_fps=self.default_fps
        )
        self.layout = build_layout(checkpoint, RotaryLayout.one_axis(decoder.rotary_emb.inv_freq))
        self.chat = split_chat(
            checkpoint.tokenizer,
            placeholder=str(checkpoint.tokenizer.convert_ids_to_tokens(config.video_token_id)),
            stop_token_ids=checkpoint.stop_token_ids,
            template=checkpoint.chat_template,
        )

    def encode(self, pixels: Pixels) -> Features:
        """Encode frames one by one with the vision tower, project and pool them."""
        output = self._model.model.get_video_features(pixels.values[:, None], return_dict=True)
        # Behind the frames' tokens the output has image_newline, which is video_end here.
        tokens = output.pooler_output[:, : self.card.tokens_per_temporal_patch]
        return Features.of_frames(tokens.to(self.layout.dtype))

    def lay_out(
        self,
        features: Features,
        frames: Sequence[Frame],
        *,
        start_seconds: float,  # noqa: ARG002
        num_patches_before: int,  # noqa: ARG002
    ) -> VisualTokens:
        """Let frames follow each other on the one axis."""
        return lay_out_in_sequence(features, patch_seconds(frames))
