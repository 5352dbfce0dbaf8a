"""What a vision tower reads of a chunk, what it makes of it, and where that stands in picture and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Grid = tuple[int, int, int]
"""Frames, and rows and columns of each; a frame of no known shape is one row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pixels:
    """A chunk's pictures as the vision tower reads them, on the model's device.

    Attributes:
        values: frame by frame; all frames take equally many rows.
        grid: frames, and rows and columns of patches in each.
    """

    values: Float[Tensor, "rows ..."]
    grid: Grid

    def frame(self, index: int) -> Float[Tensor, "rows ..."]:
        """Return the values of one frame (a view)."""
        rows = len(self.values) // self.grid[0]
        return self.values[index * rows : (index + 1) * rows]

    def select(self, frames: Sequence[int]) -> Pixels:
        """Return some of the frames, in the order given."""
        return Pixels(
            values=torch.cat([self.frame(index) for index in frames]), grid=(len(frames), *self.grid[1:])
        )

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """What must be alike for frames of several streams to be looked at together."""
        return (len(self.values) // self.grid[0], *self.values.shape[1:], *self.grid[1:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What the vision tower makes of a chunk. No frame's depend on those of another.

    Attributes:
        tokens: of all frames, in order of time, row and column, in the dtype of the memory.
        grid: frames, and rows and columns of tokens in each.
        deepstack: likewise, for each of the first decoder layers; None where a family has none.
    """

    tokens: Float[Tensor, "tokens hidden"]
    grid: Grid
    deepstack: Float[Tensor, "levels tokens hidden"] | None = None

    @property
    def tokens_per_temporal_patch(self) -> int:
        """Tokens of one frame."""
        return len(self.tokens) // self.grid[0]

    def split(self, counts: Sequence[int]) -> list[Features]:
        """Divide the features into runs of so many frames each (views)."""
        sizes = [count * self.tokens_per_temporal_patch for count in counts]
        levels = [None] * len(sizes) if self.deepstack is None else self.deepstack.split(sizes, dim=1)
        return [
            Features(tokens=tokens, grid=(count, *self.grid[1:]), deepstack=level)
            for count, tokens, level in zip(counts, self.tokens.split(sizes), levels, strict=True)
        ]


def joined_pixels(chunks: Sequence[Pixels]) -> Pixels:
    """Join frames of one shape, of one or several streams, to be looked at together."""
    if len(chunks) == 1:
        return chunks[0]
    num_frames = sum(chunk.grid[0] for chunk in chunks)
    return Pixels(
        values=torch.cat([chunk.values for chunk in chunks]), grid=(num_frames, *chunks[0].grid[1:])
    )


def joined_features(parts: Sequence[Features]) -> Features:
    """Join the features of frames of one shape, in the order given."""
    if len(parts) == 1:
        return parts[0]
    levels = [part.deepstack for part in parts if part.deepstack is not None]
    return Features(
        tokens=torch.cat([part.tokens for part in parts]),
        grid=(sum(part.grid[0] for part in parts), *parts[0].grid[1:]),
        deepstack=torch.cat(levels, dim=1) if levels else None,
    )


def features_of_frames(tokens: Float[Tensor, "frames tokens hidden"]) -> Features:
    """Return the features of pictures that take equally many tokens each."""
    return Features(tokens=tokens.flatten(0, 1), grid=(len(tokens), 1, tokens.shape[1]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VisualTokens:
    """A chunk's tokens in the order in which they enter the memory, frame by frame.

    A frame is what the family encodes as one: one picture, or a temporal patch of several. All but
    ``embeddings`` and ``deepstack`` is in host memory.

    Attributes:
        embeddings: on the model's device.
        temporal_patch_index: which of the chunk's frames a token belongs to, ascending from 0.
        offsets: position of each token, counted from the stream's write clock; where ``time`` is given, h and
            w are counted from the beginning of the video instead, and t is not read.
        seconds: presentation time of each frame, of its first picture where it has several.
        is_text: tokens of text that belong to a frame, such as its time; they come right before the frame's
            visual tokens.
        time: of each frame, positions on axis t since the beginning of the stream, not yet rounded down; None
            where a family counts tokens, or writes the time in words.
        deepstack: for each of the first decoder layers, what is added to the tokens behind it; 0 at words.
    """

    embeddings: Float[Tensor, "tokens hidden"]
    temporal_patch_index: Int[Tensor, " tokens"]
    offsets: Int[Tensor, "axes tokens"]
    seconds: Float[Tensor, " frames"]
    is_text: Bool[Tensor, " tokens"]
    time: Float[Tensor, " frames"] | None = None
    deepstack: Float[Tensor, "levels tokens hidden"] | None = None

    def __len__(self) -> int:
        """Return the number of tokens, words included."""
        return len(self.temporal_patch_index)

    @property
    def num_temporal_patches(self) -> int:
        """Number of temporal patches."""
        return len(self.seconds)

    @property
    def grid_indices(self) -> Int[Tensor, " tokens"]:
        """Place of each visual token within its frame, from 0; -1 for words."""
        counts = (~self.is_text).long().cumsum(dim=0)
        before = torch.zeros(self.num_temporal_patches + 1, dtype=torch.long)
        before[1:].scatter_reduce_(0, self.temporal_patch_index, counts, "amax")
        return (counts - 1 - before.cummax(dim=0).values[self.temporal_patch_index]).masked_fill(
            self.is_text, -1
        )

    def with_embeddings(self, embeddings: Float[Tensor, "tokens hidden"]) -> VisualTokens:
        """Return the same tokens with other embeddings."""
        return replace(self, embeddings=embeddings)

    def select(self, kept: Bool[Tensor, " tokens"]) -> VisualTokens:
        """Return some of the tokens; frames of which none is left keep their number."""
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


def in_a_row(features: Features, seconds: Float[Tensor, " frames"]) -> VisualTokens:
    """Lay out frames of equally many tokens along one axis, without words."""
    num_tokens = len(features.tokens)
    return VisualTokens(
        embeddings=features.tokens,
        temporal_patch_index=torch.arange(features.grid[0]).repeat_interleave(
            features.tokens_per_temporal_patch
        ),
        offsets=torch.arange(num_tokens)[None],
        seconds=seconds,
        is_text=torch.zeros(num_tokens, dtype=torch.bool),
    )


def with_text(
    visual: VisualTokens,
    words: list[Float[Tensor, "_ hidden"]],
    offsets: Int[Tensor, "axes tokens"],
) -> VisualTokens:
    """Put words before the visual tokens of each frame.

    Args:
        visual: tokens without words.
        words: embeddings of each frame's words.
        offsets: positions of all tokens, words included.
    """
    per_frame = torch.bincount(visual.temporal_patch_index, minlength=visual.num_temporal_patches).tolist()
    parts, levels = [], []
    pictures = visual.embeddings.split(per_frame)
    deepstack = visual.deepstack.split(per_frame, dim=1) if visual.deepstack is not None else None
    for index, (said, picture) in enumerate(zip(words, pictures, strict=True)):
        parts += [said, picture]
        if deepstack is not None:
            levels += [said.new_zeros(len(deepstack[index]), *said.shape), deepstack[index]]
    lengths = torch.tensor([len(part) for part in parts])
    return VisualTokens(
        embeddings=torch.cat(parts),
        temporal_patch_index=torch.arange(visual.num_temporal_patches)
        .repeat_interleave(2)
        .repeat_interleave(lengths),
        offsets=offsets,
        seconds=visual.seconds,
        is_text=torch.tensor([True, False]).repeat(visual.num_temporal_patches).repeat_interleave(lengths),
        time=visual.time,
        deepstack=torch.cat(levels, dim=1) if levels else None,
    )
