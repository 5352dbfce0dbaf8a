"""Ways of laying out a chunk's tokens: one after the other, over time, with text before temporal patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.models.visual import Features, VisualTokens
from hermes_stream.video.frame import Frame


def patch_seconds(frames: Sequence[Frame], frames_per_temporal_patch: int = 1) -> Float[Tensor, " patches"]:
    """Return the time of each temporal patch: that of its first frame."""
    firsts = frames[::frames_per_temporal_patch]
    return torch.tensor([frame.pts_seconds for frame in firsts], dtype=torch.float64)


def lay_out_in_sequence(features: Features, seconds: Float[Tensor, " patches"]) -> VisualTokens:
    """Let tokens follow each other on one axis.

    Args:
        features: of temporal patches of equally many tokens.
        seconds: presentation time of each temporal patch.
    """
    num_tokens = len(features.tokens)
    patches = torch.arange(features.grid[0])
    return VisualTokens(
        embeddings=features.tokens,
        temporal_patch_index=patches.repeat_interleave(features.tokens_per_temporal_patch),
        offsets=torch.arange(num_tokens)[None],
        seconds=seconds,
        is_text=torch.zeros(num_tokens, dtype=torch.bool),
        deepstack=features.deepstack,
    )


def lay_out_over_time(
    features: Features, *, seconds: Float[Tensor, " patches"], time: Float[Tensor, " patches"]
) -> VisualTokens:
    """Let axis t run with time; rows and columns count from the beginning of the video.

    Args:
        features: of temporal patches of one shape.
        seconds: presentation time of each temporal patch.
        time: position of each temporal patch on axis t, since the beginning of the stream.
    """
    num_patches, rows, columns = features.grid
    offsets = _grid_offsets(rows, columns).repeat(1, num_patches)
    return replace(lay_out_in_sequence(features, seconds), offsets=offsets, time=time)


def insert_text(
    visual: VisualTokens,
    texts: Sequence[Sequence[int]],
    *,
    embed: Callable[[Sequence[int]], Float[Tensor, "text hidden"]],
    offsets: Int[Tensor, "axes tokens"] | None = None,
) -> VisualTokens:
    """Put text before the visual tokens of each temporal patch.

    Args:
        visual: tokens without text.
        texts: text tokens of each temporal patch.
        embed: from text tokens to embeddings.
        offsets: positions of all tokens; None counts them on one axis.
    """
    num_patches, lengths = visual.num_temporal_patches, [len(text) for text in texts]
    text_embeddings = embed([token for text in texts for token in text]).split(lengths)
    counts = torch.bincount(visual.temporal_patch_index, minlength=num_patches).tolist()
    parts = list(zip(text_embeddings, visual.embeddings.split(counts), strict=True))
    deepstack = visual.deepstack
    if deepstack is not None:
        levels = [
            torch.cat([text.new_zeros(len(deepstack), *text.shape), level], dim=1)
            for text, level in zip(text_embeddings, deepstack.split(counts, dim=1), strict=True)
        ]
        deepstack = torch.cat(levels, dim=1)
    runs = torch.tensor([lengths, counts]).T.flatten()  # text, visual tokens, text, visual tokens, ...
    if offsets is None:
        offsets = torch.arange(int(runs.sum()))[None]
    return replace(
        visual,
        embeddings=torch.cat([embeddings for pair in parts for embeddings in pair]),
        temporal_patch_index=torch.arange(num_patches).repeat_interleave(2).repeat_interleave(runs),
        offsets=offsets,
        is_text=torch.tensor([True, False]).repeat(num_patches).repeat_interleave(runs),
        deepstack=deepstack,
    )


def mrope_offsets(text_lengths: Sequence[int], rows: int, columns: int) -> Int[Tensor, "3 tokens"]:
    """Return positions on the axes t, h and w, from 0, as transformers counts them.

    A text token takes 1 on all axes; a temporal patch has one time, and what follows it begins after the
    larger of its height and width.

    Args:
        text_lengths: text tokens before each temporal patch.
        rows: of each temporal patch.
        columns: of each temporal patch.
    """
    patch = _grid_offsets(rows, columns)
    parts, clock = [], 0
    for length in text_lengths:
        parts += [torch.arange(clock, clock + length).expand(3, -1), patch + clock + length]
        clock += length + max(rows, columns)
    return torch.cat(parts, dim=1)


def _grid_offsets(rows: int, columns: int) -> Int[Tensor, "3 tokens"]:
    """Return the positions of one temporal patch's tokens: the same time, and their row and column."""
    index = torch.arange(rows * columns)
    return torch.stack([torch.zeros_like(index), index // columns, index % columns])
