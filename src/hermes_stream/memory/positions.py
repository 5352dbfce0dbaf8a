"""Where what a compression leaves stands: summaries placed, gaps closed, layers aligned to one now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.memory.rope import next_position, reindex, right_alignment
from hermes_stream.memory.summary import newest_position, summary_position

Axes = Literal["t", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRule:
    """How a memory's positions change when it is compressed or its gaps are closed.

    Attributes:
        axes: axes whose gaps are closed and which are aligned: "t" alone, so that rows and columns stay where
            new frames have theirs, or "all" (released code). The same for models of one axis.
        summary: where a summary stands: at the position of the "newest" kept token, or at the "end", behind
            all (released code), where it moves the clock.
    """

    axes: Axes = "t"
    summary: Literal["newest", "end"] = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Positions after a compression.

    Attributes:
        positions: of every slot; what padding holds does not matter.
        next_position: first position that no layer uses on any axis.
        next_frame_position: first position that no layer uses on axis t.
    """

    positions: Int[Tensor, "layers axes slots"]
    next_position: int
    next_frame_position: int


def settle(
    positions: Int[Tensor, "layers axes slots"],
    lengths: Int[Tensor, " layers"],
    summarizes: Bool[Tensor, " layers"],
    *,
    num_prefix_tokens: int,
    rule: PositionRule,
    grid_follows_time: bool,
    closes_gaps: bool,
) -> Placed:
    """Give summaries their positions; close gaps and align layers if asked.

    Args:
        positions: of prefix, kept tokens and new summaries, in this order; of summaries anything.
        lengths: tokens of each layer, its new summary included.
        summarizes: layers whose last token is a new summary.
        num_prefix_tokens: the first slots, of text that is never evicted.
        rule: how positions change.
        grid_follows_time: rows and columns count from the time of their own patch, so that they move with it.
        closes_gaps: give dense positions now.
    """
    slots = torch.arange(positions.shape[2], device=positions.device)
    present = slots < lengths[:, None]
    is_summary = summarizes[:, None] & (slots == lengths[:, None] - 1)
    kept = present & ~is_summary
    if closes_gaps:
        positions = _closed(positions, kept, num_prefix_tokens, rule, grid_follows_time=grid_follows_time)
    if rule.summary == "newest":
        at = newest_position(positions, kept)
    else:
        at = summary_position(positions, kept)[:, None].expand(-1, positions.shape[1])
    positions = torch.where(is_summary[:, None], at[..., None], positions)
    if closes_gaps:
        aligned = slice(1) if rule.axes == "t" else slice(None)
        shift = right_alignment(next_position(positions[:, aligned], present))[:, None, None]
        # Attention sees differences of positions alone: moving a whole layer along an axis changes no logit.
        positions[:, slice(None) if grid_follows_time else aligned] += shift
    on_any_axis, on_axis_t = (next_position(part, present).max() for part in (positions, positions[:, :1]))
    ends = torch.stack((on_any_axis, on_axis_t)).tolist()
    return Placed(positions=positions, next_position=ends[0], next_frame_position=ends[1])


def _closed(
    positions: Int[Tensor, "layers axes slots"],
    kept: Bool[Tensor, "layers slots"],
    num_prefix_tokens: int,
    rule: PositionRule,
    *,
    grid_follows_time: bool,
) -> Int[Tensor, "layers axes slots"]:
    """Return dense positions; the prefix, which an earlier alignment may have moved, begins at 0 again."""
    closed = positions.clone()
    closed[:, :, :num_prefix_tokens] = torch.arange(num_prefix_tokens, device=positions.device)
    if rule.axes == "all":
        return reindex(closed, num_prefix_tokens, kept)
    closed[:, :1] = reindex(closed[:, :1], num_prefix_tokens, kept)
    if grid_follows_time:
        closed[:, 1:] = positions[:, 1:] + (closed - positions)[:, :1]
    return closed
