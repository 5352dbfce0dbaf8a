"""LLaVA-OneVision: a fixed number of visual tokens per frame, one-dimensional positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hermes_stream.cache import CacheLayout
from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import ModelCard, VideoModel
from hermes_stream.models.chat import split_chat
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.preprocess import Preprocessing


@final
class LlavaOnevision(VideoModel):
    """Adapter of transformers' ``LlavaOnevisionForConditionalGeneration``.

    ``image_newline``, which the family puts once behind a whole video, goes with the question.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "llava_onevision"

    def __init__(self, checkpoint: Checkpoint) -> None:
        model, config = checkpoint.model, checkpoint.model.config
        text = config.text_config
        self._model = model
        self.decoder = model.model.language_model
        inv_freq: Tensor = model.model.language_model.rotary_emb.inv_freq
        vision = config.vision_config
        side = math.ceil(vision.image_size // vision.patch_size / 2)
        self.card = ModelCard(
            name=checkpoint.name,
            family=self.family,
            tokens_per_frame=side * side,
            default_fps=getattr(config, "training_fps", 0.5),
            default_budget_tokens=min(
                getattr(config, "memory_budget_tokens", 4000), text.max_position_embeddings // 2
            ),
            guidance_prompts=checkpoint.guidance_prompts,
            training_frames=getattr(config, "training_frames", None),
            multiple_choice=checkpoint.multiple_choice,
        )
        self.layout = CacheLayout(
            num_layers=text.num_hidden_layers,
            num_kv_heads=text.num_key_value_heads,
            head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
            dtype=model.dtype,
            device=model.device,
            rotary=RotaryLayout.one_axis(inv_freq.float()),
            max_positions=text.max_position_embeddings,
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

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Float[Tensor, "frames tokens_per_frame hidden"]:
        """Encode frames one by one with the vision tower, project and pool them."""
        pixels = self._preprocessing.pixel_values(
            images, device=self.layout.device, dtype=self._model.model.vision_tower.dtype
        )
        output = self._model.model.get_video_features(pixels[:, None], return_dict=True)
        return output.pooler_output[:, : self.card.tokens_per_frame].to(self.layout.dtype)

    def embed(self, token_ids: Sequence[int]) -> Float[Tensor, "tokens hidden"]:
        """Look up text tokens."""
        ids = torch.tensor(token_ids, dtype=torch.long, device=self.layout.device)
        return self._model.model.language_model.embed_tokens(ids)

    def video_end(self) -> Float[Tensor, "tokens hidden"]:
        """Return image_newline."""
        return self._model.model.image_newline[None].to(self.layout.dtype)

    def visual_positions(self, num_frames: int, start: int) -> Int[Tensor, "axes tokens"]:
        """Count on from the write clock."""
        return self.text_positions(num_frames * self.card.tokens_per_frame, start)

    def text_positions(self, num_tokens: int, start: int) -> Int[Tensor, "axes tokens"]:
        """Count on from the write clock."""
        return torch.arange(start, start + num_tokens)[None]

    def logits(self, hidden: Float[Tensor, " hidden"]) -> Float[Tensor, " vocabulary"]:
        """Apply the language model's head to one position."""
        return self._model.lm_head(hidden).float()
