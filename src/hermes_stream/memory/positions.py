"""Where what a compression leaves stands: summaries placed, gaps closed, layers aligned to one now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.memory.rope import next_position, reindex, right_alignment, scaled_positions
from hermes_stream.memory.summary import newest_position, summary_position

Axes = Literal["t", "all"]
Gaps = Literal["ranked", "scaled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRule:
    """How a memory's positions change when it is compressed or its gaps are closed.

    Attributes:
        axes: axes whose gaps are closed and which are aligned: "t" alone, so that rows and columns stay where
            new frames have theirs, or "all" (released code). The same for models of one axis.
        gaps: what becomes of a gap between positions on axis t that is closed: "ranked" leaves none, so that
            an age is a number of positions that are held (paper); "scaled" shortens all by one factor, as far
            as the room needs it, so that ages keep their order and, but for that, their ratios.
        summary: where a summary stands: at the position of the "newest" kept token, or at the "end", behind
            all (released code), where it moves the clock.
    """

    axes: Axes = "t"
    gaps: Gaps = "ranked"
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
    now: int,
    span: int,
) -> Placed:
    """Give summaries their positions; close gaps and align layers if asked.

    Args:
        positions: of prefix, kept tokens and new summaries, in this order; of summaries anything.
        lengths: tokens of each layer, its new summary included.
        summarizes: layers whose last token is a new summary.
        num_prefix_tokens: the first slots, of text that is never evicted.
        rule: how positions change.
        grid_follows_time: rows and columns count from the time of their own patch, so that they move with it.
        closes_gaps: close them now.
        now: first position on axis t behind all frames that came.
        span: positions that scaled gaps leave between the prefix and the first position behind all frames.
    """
    slots = torch.arange(positions.shape[2], device=positions.device)
    present = slots < lengths[:, None]
    is_summary = summarizes[:, None] & (slots == lengths[:, None] - 1)
    kept = present & ~is_summary
    if closes_gaps:
        closing = _Closing(num_prefix_tokens=num_prefix_tokens, rule=rule, now=now, span=span)
        positions, behind = closing.closed(positions, kept, grid_follows_time=grid_follows_time)
    if rule.summary == "newest":
        at = newest_position(positions, kept)
    else:
        at = summary_position(positions, kept)[:, None].expand(-1, positions.shape[1])
    positions = torch.where(is_summary[:, None], at[..., None], positions)
    if closes_gaps:
        aligned = slice(1) if rule.axes == "t" else slice(None)
        ends = torch.maximum(next_position(positions[:, aligned], present), behind)
        # Attention sees differences of positions alone: moving a whole layer along an axis changes no logit.
        moved = slice(None) if grid_follows_time else aligned
        positions[:, moved] += right_alignment(ends)[:, None, None]
        now = int(ends.max())
    if not closes_gaps and rule.summary == "newest":
        # Where a token stands already the clock has been: the host need not look.
        return Placed(positions=positions, next_position=now, next_frame_position=now)
    on_any_axis, on_axis_t = (next_position(part, present).max() for part in (positions, positions[:, :1]))
    on_any_axis, on_axis_t = torch.stack((on_any_axis, on_axis_t)).tolist()
    return Placed(
        positions=positions, next_position=max(now, on_any_axis), next_frame_position=max(now, on_axis_t)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Closing:
    """What closes the gaps of a memory; see ``settle``."""

    num_prefix_tokens: int
    rule: PositionRule
    now: int
    span: int

    def closed(
        self,
        positions: Int[Tensor, "layers axes slots"],
        kept: Bool[Tensor, "layers slots"],
        *,
        grid_follows_time: bool,
    ) -> tuple[Int[Tensor, "layers axes slots"], Int[Tensor, " layers"]]:
        """Return positions without gaps, and the first one of each layer that is behind all frames.

        The prefix, which an earlier alignment may have moved, begins at 0 again.
        """
        prefix = self.num_prefix_tokens
        closed = positions.clone()
        closed[:, :, :prefix] = torch.arange(prefix, device=positions.device)
        if self.rule.axes == "all":
            closed = reindex(closed, prefix, kept)
            return closed, next_position(closed, kept)
        if self.rule.gaps == "scaled":
            time, behind = scaled_positions(
                closed[:, 0, prefix:], prefix, kept[:, prefix:], now=self.now, span=self.span
            )
            closed[:, 0, prefix:] = time
        else:
            closed[:, :1] = reindex(closed[:, :1], prefix, kept)
            behind = next_position(closed[:, :1], kept)
        if grid_follows_time:
            closed[:, 1:] = positions[:, 1:] + (closed - positions)[:, :1]
        return closed, behind
