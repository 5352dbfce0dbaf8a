"""The first embedded checkpoint's family: one frame a second, positions that count tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from hermes_lab.training.batch import Batch
from hermes_lab.training.checkpoint import (
    TOKENS_PER_TEMPORAL_PATCH,
    TRAINING_FRAMES,
    WORD_STD,
    build_config,
    build_tokenizer,
    save_checkpoint,
)
from hermes_lab.training.family import Family, draw_patch_gaps
from hermes_stream.models.chat import Chat, split_chat

_MAX_GAP_WITHIN = 2


@final
class LlavaOnevisionFamily(Family):
    """LLaVA-OneVision: a temporal patch is one frame, and a newline of its own closes the video."""

    @property
    def fps(self) -> int:
        """One."""
        return 1

    def build_model(self, seed: int, start: nn.Module | None) -> Any:
        """Build the untrained model with weights drawn from the seed.

        Half of the attention heads begin with equal projections of queries and keys, so that they attend to
        what resembles the token itself: finding a thing that a question names need not be learned.
        """
        if start is not None:
            raise ValueError("the first embedded model starts from random weights; start_from must be None")
        torch.manual_seed(seed)
        model = LlavaOnevisionForConditionalGeneration(build_config())
        text = model.config.text_config
        head_dim = text.hidden_size // text.num_attention_heads
        heads_per_group = text.num_attention_heads // text.num_key_value_heads
        with torch.no_grad():
            model.model.language_model.embed_tokens.weight.normal_(std=WORD_STD)
            for layer in model.model.language_model.layers:
                queries = layer.self_attn.q_proj.weight.view(text.num_attention_heads, head_dim, -1)
                keys = layer.self_attn.k_proj.weight.view(text.num_key_value_heads, head_dim, -1)
                keys.normal_(std=text.hidden_size**-0.5)
                queries[::heads_per_group] = keys
        return model

    def build_tokenizer(self) -> PreTrainedTokenizerFast:
        """Build the tokenizer with the chat template."""
        return build_tokenizer()

    def build_chat(self) -> Chat:
        """Split the chat template around the video."""
        tokenizer = build_tokenizer()
        stop = frozenset([int(tokenizer.eos_token_id)])
        return split_chat(tokenizer, placeholder="<video>", stop_token_ids=stop, template=None)

    def save(self, model: Any, folder: Path) -> None:
        """Write an ordinary checkpoint folder."""
        save_checkpoint(model, folder)

    def vision_modules(self, model: Any) -> list[nn.Module]:
        """Return tower and projector."""
        return [model.model.vision_tower, model.model.multi_modal_projector]

    def visual_tokens(self, model: Any, pixels: Tensor) -> Tensor:
        """Encode single frames ``[n, 1, 3, side, side]``."""
        output = model.model.get_video_features(pixels, return_dict=True)
        return output.pooler_output[:, :TOKENS_PER_TEMPORAL_PATCH]

    def list_patches(self, num_seconds: int) -> Tensor:
        """List every frame by itself."""
        return torch.arange(num_seconds)[:, None]

    def draw_patches(self, rng: np.random.Generator, num_streams: int, num_seconds: int) -> Tensor:  # noqa: ARG002
        """Show one frame after the other."""
        return torch.arange(num_seconds).expand(num_streams, -1)

    def draw_question_patch(self, rng: np.random.Generator, patches: Tensor, earliest: int) -> int:
        """Ask after any."""
        return int(rng.integers(earliest, len(patches)))

    def draw_gaps(
        self, rng: np.random.Generator, num_streams: int, num_seconds: int, max_gap: int, *, far_gap: int = 0
    ) -> Tensor:
        """Let positions jump between frames, and in some of those streams between tokens of a frame.

        There a token's position does not tell its place in the picture, which then must be read from itself.
        """
        shape = (num_streams, num_seconds, TOKENS_PER_TEMPORAL_PATCH)
        between = draw_patch_gaps(rng, num_streams, num_seconds, max_gap, far_gap=far_gap)
        within = rng.integers(0, _MAX_GAP_WITHIN + 1, size=shape)
        within[(rng.random(num_streams) < 0.5) | ~between.any(axis=1)] = 0
        within[..., 0] += between
        return torch.from_numpy(within)

    @property
    def positions_per_second(self) -> int:
        """A position for each token of a frame."""
        return TOKENS_PER_TEMPORAL_PATCH

    @property
    def max_question_gap(self) -> int:
        """As many positions as 48 seconds take."""
        return TRAINING_FRAMES * TOKENS_PER_TEMPORAL_PATCH

    def position_ids(self, batch: Batch, num_prefix_tokens: int) -> Tensor:
        """Return position ids ``[streams, tokens]``: questions start where their last frame ends or later."""
        gaps = batch.gaps.flatten(1)
        video = num_prefix_tokens + torch.arange(gaps.shape[1]) + gaps.cumsum(1)
        ends = video.gather(1, batch.num_visible_patches * TOKENS_PER_TEMPORAL_PATCH - 1) + 1
        text = batch.of_tokens(ends + batch.question_gaps) + batch.offsets
        return torch.cat([torch.arange(num_prefix_tokens).expand(len(gaps), -1), video, text], dim=1)

    def leading_ids(self, chat: Chat) -> list[int]:
        """Return padding, whose embedding the newline replaces."""
        return [chat.tokenizer.pad_token_id]

    def video_end(self, model: Any) -> nn.Parameter | None:
        """Return the newline after the video."""
        return model.model.image_newline
