"""What differs between the architectures of the embedded checkpoints, for the one script that trains them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from hermes_stream.models.chat import Chat

if TYPE_CHECKING:
    from hermes_lab.training.lessons import Lesson


class Family(ABC):
    """One architecture: its checkpoint, how it looks at a story, and where its tokens stand.

    A glimpse is what the vision tower reads at once: a picture, or a few that follow each other. A story has
    more glimpses than a stream shows: which of them follow each other is drawn for every lesson.
    """

    @property
    @abstractmethod
    def pictures_per_second(self) -> int:
        """How many pictures of a story are drawn for a second."""

    @abstractmethod
    def build_model(self, seed: int, start: nn.Module | None) -> Any:
        """Build the untrained model from the seed; ``start`` lends its decoder and words."""

    @abstractmethod
    def build_tokenizer(self) -> Any:
        """Build the tokenizer with the chat template."""

    @abstractmethod
    def build_chat(self) -> Chat:
        """Split the chat template around the video, as it is split for every checkpoint."""

    @abstractmethod
    def save(self, model: Any, folder: Path) -> None:
        """Write weights, config, tokenizer and preprocessing as an ordinary checkpoint folder."""

    @abstractmethod
    def vision_modules(self, model: Any) -> list[nn.Module]:
        """Return what learns from single pictures."""

    @abstractmethod
    def visual_tokens(self, model: Any, pixels: Tensor) -> Tensor:
        """Encode glimpses ``[n, pictures, 3, side, side]``: ``[n, tokens_per_temporal_patch, hidden]``."""

    @abstractmethod
    def glimpses(self, num_seconds: int) -> Tensor:
        """List a story's glimpses: which pictures each shows, ``[glimpses, pictures]``."""

    @abstractmethod
    def watch(self, rng: np.random.Generator, num_streams: int, num_seconds: int) -> Tensor:
        """Draw which glimpses follow each other, one for each second: ``[streams, num_seconds]``."""

    @abstractmethod
    def pick_moment(self, rng: np.random.Generator, watched: Tensor, earliest: int) -> int:
        """Draw after which of the glimpses ``[num_seconds]`` to ask, none before the ``earliest``."""

    @abstractmethod
    def clock_jumps(self, rng: np.random.Generator, num_streams: int, num_questions: int) -> Tensor:
        """Draw how far questions stand after what they see ``[streams, questions]``, where positions jump."""

    @abstractmethod
    def positions(self, lesson: Lesson, num_prefix_tokens: int) -> Tensor:
        """Return position ids of a lesson, as the decoder's rotary layer takes them."""

    @abstractmethod
    def opening_ids(self, chat: Chat) -> list[int]:
        """Return tokens to stand at the start of a question beside the template's."""

    @abstractmethod
    def video_end(self, model: Any) -> nn.Parameter | None:
        """Return what replaces the embedding of a question's first token, where the model learns it apart."""
