"""One vision tower for many memories of the same stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor

from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import Features, Pixels, VisualTokens
from hermes_stream.video.frame import Frame


@final
class SharedEncoder(VideoModel):
    """A model that remembers what it saw of the newest chunk, for sessions that watch in lockstep.

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
        self._shrunk: tuple[Frame, Frame] | None = None
        self._pixels: Pixels | None = None
        self._features: Features | None = None
        self.encode_seconds = 0.0

    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Turn pictures into what the vision tower reads; the newest chunk is reused."""
        if self._pixels is None or not self._are_newest(frames):
            began = time.perf_counter()
            self._pixels, self._features = self.unshared.prepare(frames), None
            self._frames = tuple(frames)
            self.encode_seconds += time.perf_counter() - began
        return self._pixels

    def shrink(self, frame: Frame) -> Frame:
        """Return the frame in the size that the model sees; the newest one to all who watch it."""
        if self._shrunk is None or self._shrunk[0] is not frame:
            began = time.perf_counter()
            self._shrunk = (frame, self.unshared.shrink(frame))
            self.encode_seconds += time.perf_counter() - began
        return self._shrunk[1]

    def encode(self, pixels: Pixels) -> Features:
        """Run the vision tower."""
        return self.unshared.encode(pixels)

    def encode_in_parts(self, pixels: Pixels) -> Features:
        """Run the vision tower, once on the newest chunk."""
        if pixels is not self._pixels:
            return self.unshared.encode_in_parts(pixels)
        if self._features is None:
            began = time.perf_counter()
            self._features = self.unshared.encode_in_parts(pixels)
            self.encode_seconds += time.perf_counter() - began
        return self._features

    def lay_out(
        self, features: Features, frames: Sequence[Frame], *, start_seconds: float, num_patches_before: int
    ) -> VisualTokens:
        """Assign each visual token its place in picture and time."""
        return self.unshared.lay_out(
            features, frames, start_seconds=start_seconds, num_patches_before=num_patches_before
        )

    def _are_newest(self, frames: Sequence[Frame]) -> bool:
        return len(frames) == len(self._frames) and all(
            one is other for one, other in zip(frames, self._frames, strict=True)
        )

    def num_tokens(self, height: int, width: int) -> int:
        """Return the most tokens that a temporal patch of such frames takes, text tokens included."""
        return self.unshared.num_tokens(height, width)

    def embed(self, token_ids: Sequence[int]) -> Float[Tensor, "tokens hidden"]:
        """Look up text tokens."""
        return self.unshared.embed(token_ids)

    def logits(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch vocabulary"]:
        """Return next-token logits in float32 of last hidden states."""
        return self.unshared.logits(hidden)
