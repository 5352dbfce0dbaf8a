"""FluxMem: drop what neighbouring frames repeat, merge like neighbours within a frame; nothing to tune."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.filters.base import FilteredTokens, FilterFacts, Past, TokenFilter, check_cosine

_BINS = 128
_TIED = 1e-6
_OFFSETS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxMem(TokenFilter):
    """Keep tokens that differ from the frame before or after, by thresholds that each frame sets itself.

    Temporal selection: a token's distance to a frame is 1 minus its largest cosine with the 3x3 tokens around
    its own position. It stays where its distance to the next or the previous frame reaches Otsu's threshold
    of the frame's distances, and leaves anyway where its cosine to the next frame is above ``max_cosine``.
    Spatial merging: neighbours closer than Otsu's threshold of the frame's edges join; a component becomes
    its token nearest to the mean, with the mean as its feature.

    Chosen where the source leaves it open, or for a filter before prefill: no frame waits for the
    next. The last frame of a chunk has no next one and stays whole, as the newest frame does in the method;
    so what never changes is kept once in a chunk. The method merges what is older than what it selects; here
    both happen at once, or ``merges`` is off. Tokens that form no square are read as one row.

    Attributes:
        max_cosine: a token with a larger cosine to the next frame is dropped, in [-1, 1].
        merges: merge neighbours within a frame.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[FilterFacts] = FilterFacts(
        summary="tokens that neighbouring frames repeat; like neighbours within a frame are merged",
        paper="FluxMem, arXiv 2603.02096",
    )

    max_cosine: float = 0.8
    merges: bool = True

    def __post_init__(self) -> None:
        check_cosine("max_cosine", self.max_cosine)

    def filter(self, tokens: Float[Tensor, "frames per_frame hidden"], past: Past | None) -> FilteredTokens:
        """Select between frames, then merge within them; the last frame stays whole."""
        frames = tokens if past is None else torch.cat([past[0][None], tokens])
        grid = _grid(F.normalize(frames.float(), dim=-1))
        to_next = _distance(grid[:-1], grid[1:])
        to_previous = _distance(grid[1:], grid[:-1])
        first = len(frames) - len(tokens)
        kept = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        tokens = tokens.clone()
        for index in range(len(tokens) - 1):
            at = index + first
            # A frame sets its own thresholds, so that nothing depends on how fast the video changes.
            differs = to_next[at] >= otsu(to_next[at])
            if at:
                differs = differs | (to_previous[at - 1] >= otsu(to_previous[at - 1]))
            kept[index] = differs & (1 - to_next[at] <= self.max_cosine)
            if self.merges and kept[index].any():
                tokens[index], kept[index] = _merged(tokens[index], grid[at], kept[index])
        return FilteredTokens(tokens=tokens, kept=kept, past=(frames[-1],))


def otsu(distances: Float[Tensor, " values"]) -> Float[Tensor, ""]:
    """Return the threshold that separates values in [0, 2] best: the largest variance between two classes.

    The values are counted in 128 bins; where all are in one bin, the threshold is their median. Of thresholds
    that separate equally well it is the lowest.
    """
    counts = distances.clamp(0, 2).histc(_BINS, 0, 2).cpu().double()  # in float32 rounding would choose
    if (counts > 0).sum() < 2:
        return distances.median()
    centres = (torch.arange(_BINS) + 0.5) * 2 / _BINS
    below, sums = counts.cumsum(0), (counts * centres).cumsum(0)
    above = below[-1] - below
    means = sums / below.clamp(min=1), (sums[-1] - sums) / above.clamp(min=1)
    between = below * above * (means[0] - means[1]) ** 2
    is_best = between >= between.amax() * (1 - _TIED)
    return ((is_best.int().argmax() + 1) * 2 / _BINS).to(distances.device)


def _grid(tokens: Float[Tensor, "frames per_frame hidden"]) -> Float[Tensor, "frames rows columns hidden"]:
    side = math.isqrt(tokens.shape[1])
    rows = side if side * side == tokens.shape[1] else 1
    return tokens.unflatten(1, (rows, -1))


def _distance(
    frames: Float[Tensor, "frames rows columns hidden"], others: Float[Tensor, "frames rows columns hidden"]
) -> Float[Tensor, "frames per_frame"]:
    """Return 1 minus each token's largest cosine with the 3x3 tokens around it in the other frame."""
    rows, columns = frames.shape[1:3]
    around = F.pad(others, (0, 0, 1, 1, 1, 1))
    inside = F.pad(torch.ones(rows, columns, dtype=torch.bool, device=frames.device), (1, 1, 1, 1))
    best = torch.full(frames.shape[:3], -torch.inf, device=frames.device)
    for row, column in _OFFSETS:
        there = slice(1 + row, 1 + row + rows), slice(1 + column, 1 + column + columns)
        cosine = (frames * around[:, there[0], there[1]]).sum(dim=-1)
        best = best.maximum(cosine.masked_fill(~inside[there], -torch.inf))
    return (1 - best).flatten(1)


def _merged(
    tokens: Float[Tensor, "per_frame hidden"],
    grid: Float[Tensor, "rows columns hidden"],
    kept: Bool[Tensor, " per_frame"],
) -> tuple[Float[Tensor, "per_frame hidden"], Bool[Tensor, " per_frame"]]:
    """Replace each component of like neighbours by its token nearest to the mean, which takes the mean."""
    component = _components(grid, kept)
    tokens, stays = tokens.clone(), torch.zeros_like(kept)
    for name in component[kept].unique():
        members = (component == name).nonzero()[:, 0]
        mean = tokens[members].float().mean(dim=0)
        nearest = members[F.cosine_similarity(tokens[members].float(), mean[None], dim=-1).argmax()]
        tokens[nearest], stays[nearest] = mean.to(tokens.dtype), True
    return tokens, stays


def _components(
    grid: Float[Tensor, "rows columns hidden"], kept: Bool[Tensor, " per_frame"]
) -> Int[Tensor, " per_frame"]:
    """Number kept tokens by their component, -1 for the others; edges are between kept 8-neighbours."""
    rows, columns = grid.shape[:2]
    flat, index = grid.flatten(0, 1), torch.arange(rows * columns, device=grid.device)
    row, column = index // columns, index % columns
    near = ((row[:, None] - row).abs() <= 1) & ((column[:, None] - column).abs() <= 1)
    near = near & (index[:, None] != index) & kept[:, None] & kept
    distance = 1 - flat @ flat.T
    if near.any():
        near = near & (distance <= otsu(distance[near]))
    component = torch.where(kept, index, -1)
    while True:
        # Each token takes the smallest number around it, until no number changes any more.
        smallest = torch.where(near, component, len(index)).amin(dim=1).minimum(component)
        if torch.equal(smallest, component):
            return component
        component = smallest
