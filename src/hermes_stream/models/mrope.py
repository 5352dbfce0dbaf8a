"""Positions on the three axes time, height and width, counted as transformers counts them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.models.visual import VisualTokens

AXES = 3


def over_time(
    embeddings: Float[Tensor, "tokens hidden"],
    *,
    grid: tuple[int, int, int],
    seconds: Float[Tensor, " frames"],
    time: Float[Tensor, " frames"],
) -> VisualTokens:
    """Lay out frames along an axis of time; rows and columns count from the beginning of the video.

    Args:
        embeddings: of all frames, in order of time, row and column.
        grid: frames, rows, columns.
        seconds: presentation time of each frame.
        time: position of each frame on axis t, since the beginning of the stream.
    """
    num_frames, rows, columns = grid
    offsets = patch_offsets(rows, columns)
    offsets[0] = 0
    return VisualTokens(
        embeddings=embeddings,
        temporal_patch_index=torch.arange(num_frames).repeat_interleave(rows * columns),
        offsets=offsets.repeat(1, num_frames),
        seconds=seconds,
        is_text=torch.zeros(len(embeddings), dtype=torch.bool),
        time=time.double(),
    )


def patch_offsets(rows: int, columns: int) -> Int[Tensor, "3 tokens"]:
    """Return the positions of one frame's tokens: the same time, and its row and column."""
    return torch.stack(
        [
            torch.zeros(rows * columns, dtype=torch.long),
            torch.arange(rows).repeat_interleave(columns),
            torch.arange(columns).repeat(rows),
        ]
    )


def offsets_with_text(num_text_tokens: Sequence[int], rows: int, columns: int) -> Int[Tensor, "3 tokens"]:
    """Return the positions of frames with words before each, from 0.

    A word takes 1 on all axes; a frame stands on one time, and what follows it begins after the larger of its
    height and width.

    Args:
        num_text_tokens: words before each frame.
        rows: of each frame.
        columns: of each frame.
    """
    picture = patch_offsets(rows, columns)
    parts, clock = [], 0
    for count in num_text_tokens:
        parts += [torch.arange(clock, clock + count).expand(AXES, -1), picture + clock + count]
        clock += count + max(rows, columns)
    return torch.cat(parts, dim=1)
