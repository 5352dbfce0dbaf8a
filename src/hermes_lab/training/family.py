"""What differs between the architectures of the embedded checkpoints, for the one script that trains them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hermes_lab.training.batch import Batch
from hermes_stream.models.chat import Chat

_SHARE_OF_FAR_CLOCKS = 0.5


class Family(ABC):
    """One architecture: its checkpoint, how it encodes a story, and the positions of its tokens.

    A story has more temporal patches than a stream shows: which of them follow each other is drawn for every
    batch, one for each second.
    """

    @property
    @abstractmethod
    def fps(self) -> int:
        """Frames of a story for each second."""

    @abstractmethod
    def build_model(self, seed: int, start: nn.Module | None) -> Any:
        """Build the untrained model from the seed; decoder and word embeddings are copied from ``start``."""

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
        """Return what learns from single temporal patches."""

    @abstractmethod
    def visual_tokens(self, model: Any, pixels: Tensor) -> Tensor:
        """Encode temporal patches ``[n, frames, 3, side, side]``: ``[n, tokens per patch, hidden]``."""

    @abstractmethod
    def list_patches(self, num_seconds: int) -> Tensor:
        """List a story's possible temporal patches: which frames each shows, ``[patches, frames]``."""

    @abstractmethod
    def draw_patches(self, rng: np.random.Generator, num_streams: int, num_seconds: int) -> Tensor:
        """Draw which temporal patches follow each other, one for each second: ``[streams, num_seconds]``."""

    @abstractmethod
    def draw_question_patch(self, rng: np.random.Generator, patches: Tensor, earliest: int) -> int:
        """Draw after which of the temporal patches ``[num_seconds]`` to ask, none before the ``earliest``."""

    @abstractmethod
    def draw_gaps(
        self, rng: np.random.Generator, num_streams: int, num_seconds: int, max_gap: int, *, far_gap: int = 0
    ) -> Tensor:
        """Draw position jumps before visual tokens: ``[streams, num_seconds, tokens per patch]``.

        Args:
            rng: draws.
            num_streams: how many streams; about half of them have no jump.
            num_seconds: temporal patches of each.
            max_gap: longest jump between two temporal patches.
            far_gap: longest of the one jump more that half of the streams make.
        """

    @property
    @abstractmethod
    def positions_per_second(self) -> int:
        """How far the clock goes on in a second without jumps."""

    @property
    @abstractmethod
    def max_question_gap(self) -> int:
        """How far behind the last visual token a question may stand, in positions."""

    @abstractmethod
    def position_ids(self, batch: Batch, num_prefix_tokens: int) -> Tensor:
        """Return position ids of a batch, as the decoder's rotary layer takes them."""

    @abstractmethod
    def leading_ids(self, chat: Chat) -> list[int]:
        """Return tokens that a question begins with before those of the template."""

    @abstractmethod
    def video_end(self, model: Any) -> nn.Parameter | None:
        """Return the parameter that replaces a question's first embedding; None if the model has none."""


def draw_patch_gaps(
    rng: np.random.Generator, num_streams: int, num_seconds: int, max_gap: int, *, far_gap: int = 0
) -> NDArray[np.int64]:
    """Let positions jump at a few temporal patches of some streams, as they do in a compressed memory.

    Args:
        rng: draws.
        num_streams: how many streams; half of them have no jump but a far one.
        num_seconds: temporal patches of each.
        max_gap: longest jump; 0 for none.
        far_gap: longest of the one jump more that half of the streams make, those without other jumps too, as
            if the stream had run for longer; 0 for none.

    Returns:
        Jumps before temporal patches ``[streams, num_seconds]``.
    """
    shape = (num_streams, num_seconds)
    if not max_gap:
        return np.zeros(shape, dtype=np.int64)
    is_there = rng.random(shape) < rng.random((num_streams, 1)) / 2
    jumps = rng.integers(0, max_gap, size=shape) * is_there
    jumps *= rng.random((num_streams, 1)) < 0.5
    if far_gap:
        is_far = rng.random(num_streams) < _SHARE_OF_FAR_CLOCKS
        at = rng.integers(num_seconds, size=num_streams)
        jumps[np.arange(num_streams), at] += rng.integers(far_gap, size=num_streams) * is_far
    return jumps
