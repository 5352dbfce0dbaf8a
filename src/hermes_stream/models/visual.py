"""A chunk on its way into the memory: pixels, the vision tower's features, and tokens with positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Grid = tuple[int, int, int]
"""Temporal patches, and rows and columns of each; a patch of no known shape is one row."""
_ENCODED_VALUES = 4 * 3 * 400 * 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pixels:
    """A chunk's frames as the vision tower reads them, on the model's device.

    Attributes:
        values: one temporal patch after the other; all take equally many rows.
        grid: temporal patches, and rows and columns of spatial patches or pixels in each.
    """

    values: Float[Tensor, "rows ..."]
    grid: Grid

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of one temporal patch; patches of one shape can be encoded together."""
        return (len(self.values) // self.grid[0], *self.values.shape[1:], *self.grid[1:])

    def select(self, indices: Sequence[int]) -> Pixels:
        """Return some of the temporal patches, in the order given."""
        parts = self.values.split(len(self.values) // self.grid[0])
        return Pixels(
            values=torch.cat([parts[index] for index in indices]), grid=(len(indices), *self.grid[1:])
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What the vision tower makes of a chunk. No temporal patch's depend on those of another.

    Attributes:
        tokens: of all temporal patches, in order of time, row and column, in the dtype of the memory.
        grid: temporal patches, and rows and columns of tokens in each.
        deepstack: likewise, for each of the first decoder layers; None for a family without.
    """

    tokens: Float[Tensor, "tokens hidden"]
    grid: Grid
    deepstack: Float[Tensor, "levels tokens hidden"] | None = None

    @classmethod
    def of_frames(cls, tokens: Float[Tensor, "frames tokens hidden"]) -> Features:
        """Return the features of frames that take equally many tokens each."""
        return cls(tokens=tokens.flatten(0, 1), grid=(len(tokens), 1, tokens.shape[1]))

    @property
    def tokens_per_temporal_patch(self) -> int:
        """Tokens of one temporal patch."""
        return len(self.tokens) // self.grid[0]

    def split(self, counts: Sequence[int]) -> list[Features]:
        """Divide the features into runs of so many temporal patches each (views)."""
        sizes = [count * self.tokens_per_temporal_patch for count in counts]
        levels = [None] * len(sizes) if self.deepstack is None else self.deepstack.split(sizes, dim=1)
        return [
            Features(tokens=tokens, grid=(count, *self.grid[1:]), deepstack=level)
            for count, tokens, level in zip(counts, self.tokens.split(sizes), levels, strict=True)
        ]


def joined_pixels(chunks: Sequence[Pixels]) -> Pixels:
    """Join temporal patches of one shape, of one or several streams, to encode them together."""
    if len(chunks) == 1:
        return chunks[0]
    num_patches = sum(chunk.grid[0] for chunk in chunks)
    return Pixels(
        values=torch.cat([chunk.values for chunk in chunks]), grid=(num_patches, *chunks[0].grid[1:])
    )


def small_parts(pixels: Pixels, frames_per_patch: int = 1) -> Iterator[Pixels]:
    """Divide pictures so that what a vision tower makes on its way stays small, however many they are.

    Four of some 384 pixels a side are enough to keep a device busy.

    Args:
        pixels: of a chunk.
        frames_per_patch: frames of a temporal patch, of which a tower makes no more than of one.
    """
    num_patches, values = pixels.grid[0], pixels.values
    rows = len(values) // num_patches
    size = max(1, _ENCODED_VALUES * frames_per_patch * num_patches // values.numel())
    for first in range(0, num_patches, size):
        count = min(size, num_patches - first)
        own = values[first * rows : (first + count) * rows]
        yield Pixels(values=own, grid=(count, *pixels.grid[1:]))


def joined_features(parts: Sequence[Features]) -> Features:
    """Join the features of temporal patches of one shape, in the order given."""
    if len(parts) == 1:
        return parts[0]
    levels = [part.deepstack for part in parts if part.deepstack is not None]
    return Features(
        tokens=torch.cat([part.tokens for part in parts]),
        grid=(sum(part.grid[0] for part in parts), *parts[0].grid[1:]),
        deepstack=torch.cat(levels, dim=1) if levels else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VisualTokens:
    """A chunk's tokens in the order in which they enter the memory, one temporal patch after the other.

    All but ``embeddings`` and ``deepstack`` is in host memory.

    Attributes:
        embeddings: on the model's device.
        temporal_patch_index: which of the chunk's temporal patches a token belongs to, ascending from 0.
        offsets: position of each token, counted from the stream's write clock; with ``time``, h and w are
            counted from the beginning of the video instead, and t is not read.
        seconds: presentation time of each temporal patch, that of its first frame.
        is_text: text tokens that belong to a temporal patch, such as its time; they come right before its
            visual tokens.
        time: of each temporal patch, position on axis t since the beginning of the stream, not yet rounded
            down; None for a family that counts tokens, or writes the time as text.
        deepstack: for each of the first decoder layers, what is added to the tokens behind it; 0 for text.
    """

    embeddings: Float[Tensor, "tokens hidden"]
    temporal_patch_index: Int[Tensor, " tokens"]
    offsets: Int[Tensor, "axes tokens"]
    seconds: Float[Tensor, " patches"]
    is_text: Bool[Tensor, " tokens"]
    time: Float[Tensor, " patches"] | None = None
    deepstack: Float[Tensor, "levels tokens hidden"] | None = None

    def __len__(self) -> int:
        """Return the number of tokens, text included."""
        return len(self.temporal_patch_index)

    @property
    def num_temporal_patches(self) -> int:
        """Number of temporal patches."""
        return len(self.seconds)

    @property
    def grid_indices(self) -> Int[Tensor, " tokens"]:
        """Index of each visual token within its temporal patch, from 0; -1 for text."""
        counts = (~self.is_text).long().cumsum(dim=0)
        before = torch.zeros(self.num_temporal_patches + 1, dtype=torch.long)
        before[1:].scatter_reduce_(0, self.temporal_patch_index, counts, "amax")
        indices = counts - 1 - before.cummax(dim=0).values[self.temporal_patch_index]
        return indices.masked_fill(self.is_text, -1)

    def with_embeddings(self, embeddings: Float[Tensor, "tokens hidden"]) -> VisualTokens:
        """Return the same tokens with other embeddings."""
        return replace(self, embeddings=embeddings)

    def select(self, kept: Bool[Tensor, " tokens"]) -> VisualTokens:
        """Return some of the tokens; temporal patches of which none is left keep their number."""
        if kept.all():
            return self
        index = kept.nonzero()[:, 0].to(self.embeddings.device)
        return replace(
            self,
            embeddings=self.embeddings[index],
            temporal_patch_index=self.temporal_patch_index[kept],
            offsets=self.offsets[:, kept],
            is_text=self.is_text[kept],
            deepstack=None if self.deepstack is None else self.deepstack[:, index],
        )
