"""One vision tower for many memories of the same stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor

from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import VisualTokens
from hermes_stream.video.frame import Frame


@final
class SharedEyes(VideoModel):
    """A model that remembers how it encoded the newest chunk, for sessions that watch in lockstep.

    Args:
        model: what it stands for.

    Attributes:
        unshared: the model itself.
        encode_seconds: what the vision tower took so far.
    """

    family = "shared"

    def __init__(self, model: VideoModel) -> None:
        own = {"family": model.family, "has_dynamic_resolution": model.has_dynamic_resolution}
        vars(self).update(vars(model) | own)
        self.unshared = model
        self._frames: tuple[Frame, ...] = ()
        self._place = (0.0, 0)
        self._seen: VisualTokens | None = None
        self.encode_seconds = 0.0

    def encode(self, frames: Sequence[Frame], *, start_seconds: float, num_before: int) -> VisualTokens:
        """Turn pictures into tokens of the decoder, the newest chunk without looking again."""
        place = (start_seconds, num_before)
        if self._seen is None or place != self._place or not self._are_newest(frames):
            began = time.perf_counter()
            self._seen = self.unshared.encode(frames, start_seconds=start_seconds, num_before=num_before)
            self._frames, self._place = tuple(frames), place
            self.encode_seconds += time.perf_counter() - began
        return self._seen

    def _are_newest(self, frames: Sequence[Frame]) -> bool:
        return len(frames) == len(self._frames) and all(
            one is other for one, other in zip(frames, self._frames, strict=True)
        )

    def num_tokens(self, height: int, width: int) -> int:
        """Return how many tokens a frame of such pictures takes in the memory, at most, words included."""
        return self.unshared.num_tokens(height, width)

    def embed(self, token_ids: Sequence[int]) -> Float[Tensor, "tokens hidden"]:
        """Look up text tokens."""
        return self.unshared.embed(token_ids)

    def logits(self, hidden: Float[Tensor, " hidden"]) -> Float[Tensor, " vocabulary"]:
        """Return next-token logits in float32 of one last hidden state."""
        return self.unshared.logits(hidden)
