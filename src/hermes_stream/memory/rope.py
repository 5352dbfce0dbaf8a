"""Rotary positions: one rotation for 1-D, sectioned and interleaved layouts, and re-indexing.

Keys are stored raw. The rotation here is pure: a family's ``attention_scaling`` (YaRN) is already in its
queries and keys, because the model runs at position 0, where transformers multiplies them by
``cos(0) * attention_scaling``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RotaryLayout:
    """Which axis of a position each rotary frequency follows.

    Attributes:
        inv_freq: radians per position of each frequency, float32.
        axis_of_frequency: axis that each frequency follows; 0 is t (or the only one), 1 is h, 2 is w.
        num_axes: numbers in a position: 1, or 3 for M-RoPE.
    """

    inv_freq: Float[Tensor, " frequencies"]
    axis_of_frequency: Int[Tensor, " frequencies"]
    num_axes: int

    @classmethod
    def one_axis(cls, inv_freq: Float[Tensor, " frequencies"]) -> RotaryLayout:
        """Let every frequency follow the one position (LLaVA-OneVision, Qwen2)."""
        axis = torch.zeros(len(inv_freq), dtype=torch.long, device=inv_freq.device)
        return cls(inv_freq=inv_freq.float(), axis_of_frequency=axis, num_axes=1)

    @classmethod
    def sectioned(cls, inv_freq: Float[Tensor, " frequencies"], sections: Sequence[int]) -> RotaryLayout:
        """Give each axis one block of frequencies: t first, then h, then w (Qwen2.5-VL).

        Args:
            inv_freq: radians per position of each frequency.
            sections: frequencies of each axis, summing to all of them, such as (16, 24, 24).

        Raises:
            ValueError: the sections do not sum to the number of frequencies.
        """
        _check_sections(inv_freq, sections)
        axes = torch.arange(len(sections), device=inv_freq.device)
        axis = axes.repeat_interleave(
            torch.tensor(sections, device=inv_freq.device), output_size=sum(sections)
        )
        return cls(inv_freq=inv_freq.float(), axis_of_frequency=axis, num_axes=len(sections))

    @classmethod
    def interleaved(cls, inv_freq: Float[Tensor, " frequencies"], sections: Sequence[int]) -> RotaryLayout:
        """Deal frequencies out as t h w t h w until h and w have theirs; t takes the rest (Qwen3-VL).

        Args:
            inv_freq: radians per position of each frequency.
            sections: frequencies of each axis, summing to all of them, such as (24, 20, 20).

        Raises:
            ValueError: the sections do not sum to the number of frequencies.
        """
        _check_sections(inv_freq, sections)
        axis = torch.zeros(len(inv_freq), dtype=torch.long, device=inv_freq.device)
        for h_or_w in range(1, len(sections)):
            axis[h_or_w : len(sections) * sections[h_or_w] : len(sections)] = h_or_w
        return cls(inv_freq=inv_freq.float(), axis_of_frequency=axis, num_axes=len(sections))

    def to(self, device: torch.device | str) -> RotaryLayout:
        """Return the layout on another device."""
        return replace(
            self, inv_freq=self.inv_freq.to(device), axis_of_frequency=self.axis_of_frequency.to(device)
        )

    def cos_sin(
        self, positions: Num[Tensor, "*batch axes tokens"]
    ) -> tuple[Float[Tensor, "*batch tokens head_dim"], Float[Tensor, "*batch tokens head_dim"]]:
        """Return cosine and sine of every angle in float32: position[axis] * inv_freq, both halves alike."""
        # float32 whatever the model's dtype: bfloat16 has no whole numbers between 256 and 258.
        angles = positions.float().mT[..., self.axis_of_frequency] * self.inv_freq
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((cos, cos), dim=-1), torch.cat((sin, sin), dim=-1)


def _check_sections(inv_freq: Float[Tensor, " frequencies"], sections: Sequence[int]) -> None:
    if sum(sections) != len(inv_freq):
        raise ValueError(
            f"sections {tuple(sections)} sum to {sum(sections)}; "
            f"they must sum to the {len(inv_freq)} frequencies"
        )


def signed(sin: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return sines with the sign that each channel takes in ``turn``: minus in the first half."""
    first, second = sin.chunk(2, dim=-1)
    return torch.cat((-first, second), dim=-1)


def turn(
    x: Float[Tensor, "... tokens head_dim"],
    cos: Float[Tensor, "... tokens head_dim"],
    signed_sin: Float[Tensor, "... tokens head_dim"],
) -> Float[Tensor, "... tokens head_dim"]:
    """Rotate as ``rotate`` does, with sines that ``signed`` has made once for many calls: four kernels.

    Args:
        x: queries or raw keys.
        cos: in the dtype of ``x``.
        signed_sin: likewise.
    """
    return (x * cos).add_(x.roll(x.shape[-1] // 2, dims=-1).mul_(signed_sin))


def rotate(
    x: Float[Tensor, "... tokens head_dim"],
    cos: Float[Tensor, "... tokens head_dim"],
    sin: Float[Tensor, "... tokens head_dim"],
) -> Float[Tensor, "... tokens head_dim"]:
    """Rotate queries or raw keys to their positions, bit for bit as transformers does it; ``-sin`` undoes it.

    Args:
        x: queries or raw keys.
        cos: from ``RotaryLayout.cos_sin``; cast to the dtype of ``x`` first, as transformers does.
        sin: likewise.

    Returns:
        Rotated ``x``, in its dtype.
    """
    return turn(x, cos.to(x.dtype), signed(sin.to(x.dtype)))


def dense_positions(
    positions: Num[Tensor, "*layers axes tokens"],
    offset: int,
    present: Bool[Tensor, "*layers tokens"] | None = None,
) -> Num[Tensor, "*layers axes tokens"]:
    """Close the gaps: offset + dense rank, for each axis on its own; equal positions share a rank.

    Args:
        positions: positions of the kept video tokens.
        offset: position of the first one, the length of the prefix.
        present: True where there is a token; None where there is no padding.

    Returns:
        Dense positions in the dtype of ``positions``, 0 on padding.

    Paper: sec. 3.3; app. E
    """
    if present is None:
        present = torch.ones_like(positions[..., 0, :], dtype=torch.bool)
    absent = ~present[..., None, :].expand_as(positions)
    # Padding sorts behind every token, so that it takes no rank from one.
    limits = torch.finfo(positions.dtype) if positions.is_floating_point() else torch.iinfo(positions.dtype)
    ordered, order = positions.masked_fill(absent, limits.max).sort(dim=-1)
    # Summed up, the steps between unequal neighbours number the distinct positions from 0.
    is_new = torch.zeros_like(ordered)
    is_new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    rank = torch.zeros_like(ordered).scatter(-1, order, is_new.cumsum(dim=-1))
    return (rank + offset).masked_fill(absent, 0)


def reindex(
    positions: Num[Tensor, "*layers axes tokens"],
    num_prefix_tokens: int,
    present: Bool[Tensor, "*layers tokens"] | None = None,
) -> Num[Tensor, "*layers axes tokens"]:
    """Keep the prefix where it is and make the video behind it dense.

    Args:
        positions: positions of prefix and kept video tokens.
        num_prefix_tokens: how many of them are prefix.
        present: True where there is a token; None where there is no padding.

    Returns:
        New positions, in the dtype of ``positions``, 0 on padding.

    Paper: sec. 3.3; app. E
    Differs: the paper ranks t, h and w, each on its own; but for the reference presets t alone is passed here
        where there are three, because ranked rows and columns drift away from those of new frames.
    """
    prefix, video = positions[..., :num_prefix_tokens], positions[..., num_prefix_tokens:]
    video_present = None if present is None else present[..., num_prefix_tokens:]
    return torch.cat((prefix, dense_positions(video, num_prefix_tokens, video_present)), dim=-1)


def scaled_positions(
    positions: Int[Tensor, "layers tokens"],
    offset: int,
    present: Bool[Tensor, "layers tokens"],
    *,
    now: int,
    span: int,
) -> tuple[Int[Tensor, "layers tokens"], Int[Tensor, " layers"]]:
    """Shorten gaps instead of closing them: dense rank plus what a position is ahead of it, times a factor.

    The factor is at most 1, the same for all tokens of a layer. Tokens keep their order, equal positions stay
    equal, and so, but for the ranks, do the ratios of ages.

    Args:
        positions: on one axis, of the kept video tokens.
        offset: position of the first one, the length of the prefix.
        present: True where there is a token.
        now: first position behind all frames, behind all ``positions``.
        span: room between ``offset`` and the new "now"; ranks that do not fit take what they need.

    Returns:
        New positions, 0 on padding; and the new "now" of each layer.
    """
    rank = dense_positions(positions[:, None], 0, present)[:, 0]
    end = next_position(rank[:, None], present)
    first = F.pad(positions.masked_fill(~present, now), (1, 0), value=now).amin(dim=1)
    excess = (now - first - end).clamp(min=0)
    room = torch.minimum((span - end).clamp(min=0), excess)
    # Whole numbers throughout: a product of two positions fits 64 bits, and rounds the same on every device.
    ahead = (positions - first[:, None] - rank) * room[:, None] // excess.clamp(min=1)[:, None]
    return (offset + rank + ahead).masked_fill(~present, 0), offset + end + room


def next_position(
    positions: Num[Tensor, "*layers axes tokens"], present: Bool[Tensor, "*layers tokens"]
) -> Num[Tensor, "*layers"]:
    """Return the first free position of each layer: (max over all axes and tokens) + 1, 0 where empty.

    Args:
        positions: positions of the tokens that a layer holds, at least 0; may include the prefix.
        present: True where there is a token.
    """
    occupied = positions.masked_fill(~present[..., None, :], -1).flatten(-2)
    return F.pad(occupied, (1, 0), value=-1).amax(dim=-1) + 1


def right_alignment(next_positions: Num[Tensor, " layers"]) -> Num[Tensor, " layers"]:
    """Return what to add to all positions of each layer, so that all layers end at one common "now".

    One constant per layer, the same on all axes and for prefix and video alike: only differences of
    positions matter to attention, so no logit changes.

    Args:
        next_positions: first free position of each layer.

    Returns:
        Shift of each layer, at least 0; 0 in the layer that reaches furthest.
    """
    return next_positions.max() - next_positions
