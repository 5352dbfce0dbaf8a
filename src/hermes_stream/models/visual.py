"""What a vision tower makes of a chunk: tokens, and where they stand in picture and time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VisualTokens:
    """A chunk's tokens in the order in which they enter the memory, frame by frame.

    A frame is what the family encodes as one: one picture, or a temporal patch of several. All but
    ``embeddings`` and ``deepstack`` is in host memory.

    Attributes:
        embeddings: on the model's device.
        frame_index: which of the chunk's frames a token belongs to, ascending from 0.
        offsets: position of each token, counted from the stream's write clock; where ``time`` is given, h and
            w are counted from the beginning of the video instead, and t is not read.
        seconds: presentation time of each frame, of its first picture where it has several.
        is_word: tokens of text that belong to a frame, such as its time; they come right before the frame's
            visual tokens.
        time: of each frame, positions on axis t since the beginning of the stream, not yet rounded down; None
            where a family counts tokens, or writes the time in words.
        deepstack: for each of the first decoder layers, what is added to the tokens behind it; 0 at words.
    """

    embeddings: Float[Tensor, "tokens hidden"]
    frame_index: Int[Tensor, " tokens"]
    offsets: Int[Tensor, "axes tokens"]
    seconds: Float[Tensor, " frames"]
    is_word: Bool[Tensor, " tokens"]
    time: Float[Tensor, " frames"] | None = None
    deepstack: Float[Tensor, "levels tokens hidden"] | None = None

    def __len__(self) -> int:
        """Return the number of tokens, words included."""
        return len(self.frame_index)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.seconds)

    @property
    def patch_numbers(self) -> Int[Tensor, " tokens"]:
        """Place of each visual token within its frame, from 0; -1 for words."""
        counts = (~self.is_word).long().cumsum(dim=0)
        before = torch.zeros(self.num_frames + 1, dtype=torch.long)
        before[1:].scatter_reduce_(0, self.frame_index, counts, "amax")
        return (counts - 1 - before.cummax(dim=0).values[self.frame_index]).masked_fill(self.is_word, -1)

    def with_embeddings(self, embeddings: Float[Tensor, "tokens hidden"]) -> VisualTokens:
        """Return the same tokens with other embeddings."""
        return replace(self, embeddings=embeddings)

    def taken(self, kept: Bool[Tensor, " tokens"]) -> VisualTokens:
        """Return some of the tokens; frames of which none is left keep their number."""
        if kept.all():
            return self
        index = kept.nonzero()[:, 0].to(self.embeddings.device)
        return replace(
            self,
            embeddings=self.embeddings[index],
            frame_index=self.frame_index[kept],
            offsets=self.offsets[:, kept],
            is_word=self.is_word[kept],
            deepstack=None if self.deepstack is None else self.deepstack[:, index],
        )


def in_a_row(
    embeddings: Float[Tensor, "frames tokens hidden"], seconds: Float[Tensor, " frames"]
) -> VisualTokens:
    """Lay out frames of equally many tokens along one axis, without words."""
    num_frames, per_frame = embeddings.shape[:2]
    return VisualTokens(
        embeddings=embeddings.flatten(0, 1),
        frame_index=torch.arange(num_frames).repeat_interleave(per_frame),
        offsets=torch.arange(num_frames * per_frame)[None],
        seconds=seconds,
        is_word=torch.zeros(num_frames * per_frame, dtype=torch.bool),
    )


def with_words(
    visual: VisualTokens,
    words: list[Float[Tensor, "words hidden"]],
    offsets: Int[Tensor, "axes tokens"],
) -> VisualTokens:
    """Put words before the visual tokens of each frame.

    Args:
        visual: tokens without words.
        words: embeddings of each frame's words.
        offsets: positions of all tokens, words included.
    """
    per_frame = torch.bincount(visual.frame_index, minlength=visual.num_frames).tolist()
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
        frame_index=torch.arange(visual.num_frames).repeat_interleave(2).repeat_interleave(lengths),
        offsets=offsets,
        seconds=visual.seconds,
        is_word=torch.tensor([True, False]).repeat(visual.num_frames).repeat_interleave(lengths),
        time=visual.time,
        deepstack=torch.cat(levels, dim=1) if levels else None,
    )
