"""The first embedded checkpoint's family: one picture a second, positions that count tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from hermes_lab.training.checkpoint import (
    TOKENS_PER_TEMPORAL_PATCH,
    build_chat,
    build_model,
    build_tokenizer,
    save_checkpoint,
)
from hermes_lab.training.family import Family
from hermes_lab.training.lessons import Lesson
from hermes_stream.models.chat import Chat


@final
class LlavaOnevisionFamily(Family):
    """LLaVA-OneVision: a glimpse is one picture, and a newline of its own closes the video."""

    @property
    def pictures_per_second(self) -> int:
        """One."""
        return 1

    def build_model(self, seed: int, start: nn.Module | None) -> Any:
        """Build the untrained model; it starts from nothing."""
        if start is not None:
            raise ValueError("the first embedded model starts from random weights; start_from must be None")
        return build_model(seed)

    def build_tokenizer(self) -> Any:
        """Build the tokenizer with the chat template."""
        return build_tokenizer()

    def build_chat(self) -> Chat:
        """Split the chat template around the video."""
        return build_chat()

    def save(self, model: Any, folder: Path) -> None:
        """Write an ordinary checkpoint folder."""
        save_checkpoint(model, folder)

    def vision_modules(self, model: Any) -> list[nn.Module]:
        """Return tower and projector."""
        return [model.model.vision_tower, model.model.multi_modal_projector]

    def visual_tokens(self, model: Any, pixels: Tensor) -> Tensor:
        """Encode single pictures ``[n, 1, 3, side, side]``."""
        output = model.model.get_video_features(pixels, return_dict=True)
        return output.pooler_output[:, :TOKENS_PER_TEMPORAL_PATCH]

    def glimpses(self, num_seconds: int) -> Tensor:
        """Show every picture by itself."""
        return torch.arange(num_seconds)[:, None]

    def watch(self, rng: np.random.Generator, num_streams: int, num_seconds: int) -> Tensor:  # noqa: ARG002
        """Show one picture after the other."""
        return torch.arange(num_seconds).expand(num_streams, -1)

    def pick_moment(self, rng: np.random.Generator, watched: Tensor, earliest: int) -> int:
        """Ask at any."""
        return int(rng.integers(earliest, len(watched)))

    def clock_jumps(self, rng: np.random.Generator, num_streams: int, num_questions: int) -> Tensor:  # noqa: ARG002
        """Ask right after the last token."""
        return torch.zeros(num_streams, num_questions, dtype=torch.long)

    def positions(self, lesson: Lesson, num_prefix_tokens: int) -> Tensor:
        """Return position ids ``[streams, tokens]``: every question starts where its last frame ended."""
        streams, frames = lesson.gaps.shape
        within = torch.arange(TOKENS_PER_TEMPORAL_PATCH)
        starts = num_prefix_tokens + torch.arange(frames) * TOKENS_PER_TEMPORAL_PATCH + lesson.gaps.cumsum(1)
        video = (starts[..., None] + within).flatten(1)
        ends = starts.gather(1, lesson.asked_glimpses - 1) + TOKENS_PER_TEMPORAL_PATCH
        asked = (ends[..., None] + torch.arange(lesson.token_ids.shape[2])).flatten(1)
        return torch.cat([torch.arange(num_prefix_tokens).expand(streams, -1), video, asked], dim=1)

    def opening_ids(self, chat: Chat) -> list[int]:
        """Return padding, which the newline replaces."""
        return [chat.tokenizer.pad_token_id]

    def video_end(self, model: Any) -> nn.Parameter | None:
        """Return the newline after the video."""
        return model.model.image_newline
