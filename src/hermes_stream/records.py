"""What is recorded of every token beside its key and value: who it is, whence it comes, where it stands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int, Num
from torch import Tensor

from hermes_stream.buffers import runs_of
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.constants import constant, sent, widest_float
from hermes_stream.memory.state import VisualOrigin

# Whole numbers beside positions, and what each is where there is no token.
_OTHERS = {"token_ids": -1, "temporal_patch_ids": -1, "grid_indices": -1, "counts": 0}


class Records:
    """One number of each kind for every slot of every layer; axes of positions are kinds of their own.

    Args:
        layout: the model's shape.
        width: slots of the widest layer.

    Attributes:
        token_ids: identity in the stream, the same in all layers, -1 for text.
        temporal_patch_ids: temporal patch of the stream, -1 for text and summaries.
        grid_indices: index within the patch, -1 where there is none.
        positions: on every axis.
        counts: tokens of the stream that a token stands for; 0 for text.
        pts_seconds: presentation time.
    """

    def __init__(self, layout: CacheLayout, width: int) -> None:
        device, num_axes = layout.device, layout.rotary.num_axes
        self._numbers = torch.full((len(_OTHERS) + num_axes, layout.num_layers, width), -1, device=device)
        self._numbers[len(_OTHERS) :] = 0
        self.token_ids, self.temporal_patch_ids, self.grid_indices, self.counts = self._numbers[
            : len(_OTHERS)
        ]
        self.positions = self._numbers[len(_OTHERS) :].transpose(0, 1)
        self.counts.zero_()
        shape = (layout.num_layers, width)
        self.pts_seconds = torch.zeros(shape, dtype=widest_float(device), device=device)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of them by name, slots along the last axis."""
        names = ("token_ids", "temporal_patch_ids", "grid_indices", "positions", "counts", "pts_seconds")
        return {name: getattr(self, name) for name in names}

    @property
    def stored(self) -> tuple[Tensor, Tensor]:
        """What they lie in: one tensor of whole numbers, so that they are moved together, and the times."""
        return self._numbers, self.pts_seconds

    def copy_from(self, smaller: Records) -> None:
        """Copy what fewer slots hold."""
        for own, other in zip(self.stored, smaller.stored, strict=True):
            own[..., : other.shape[-1]] = other

    def shown(self, slots: slice, lengths: Sequence[int]) -> dict[str, Tensor]:
        """Return a copy of all but positions, by name; behind what a layer holds there is padding.

        Args:
            slots: of the widest layer.
            lengths: tokens of each layer in these slots.
        """
        numbers, seconds = self._numbers[: len(_OTHERS), :, slots], self.pts_seconds[:, slots]
        if min(lengths) == numbers.shape[2]:
            numbers, seconds = numbers.clone(), seconds.clone()
        else:
            device = numbers.device
            held = sent(torch.tensor(lengths), device)[:, None]
            absent = torch.arange(numbers.shape[2], device=device) >= held
            padding = constant(tuple(_OTHERS.values()), torch.long, device).view(-1, 1, 1)
            numbers, seconds = torch.where(absent, padding, numbers), seconds.masked_fill(absent, 0)
        return dict(zip(_OTHERS, numbers, strict=True)) | {"pts_seconds": seconds}

    def append(
        self,
        lengths: Sequence[int],
        positions: Int[Tensor, "axes tokens"],
        origin: VisualOrigin | None,
        first_id: int,
    ) -> None:
        """Record new tokens behind those that each layer holds.

        Args:
            lengths: slots that each layer has used.
            positions: of the new tokens.
            origin: where they come from; None records positions alone.
            first_id: identity of the first one.
        """
        count, others = positions.shape[1], len(_OTHERS)
        if origin is None:
            self._write(lengths, self._numbers[others:], positions)
            return
        nothing = torch.full((count,), -1)
        new = {
            "token_ids": torch.arange(first_id, first_id + count),
            "temporal_patch_ids": origin.temporal_patch_ids,
            "grid_indices": nothing if origin.grid_indices is None else origin.grid_indices,
            "counts": torch.ones_like(nothing) if origin.is_text is None else (~origin.is_text).long(),
        }
        own = torch.cat((torch.stack([new[name].cpu() for name in _OTHERS]), positions.cpu().long()))
        self._write(lengths, self._numbers, own)
        self._write(lengths, self.pts_seconds[None], origin.pts_seconds[None])

    @staticmethod
    def _write(
        lengths: Sequence[int],
        records: Num[Tensor, "kinds layers slots"],
        new: Num[Tensor, "kinds tokens"],
    ) -> None:
        """Fill the slots behind those that each layer has used, the same in all layers."""
        # As one kind of number before it moves, so that the device only copies.
        own = sent(new.to(records.dtype), records.device)[:, None]
        for layers in runs_of(lengths):
            start = lengths[layers.start]
            records[:, layers, start : start + own.shape[2]] = own

    def retain(
        self,
        first: int,
        keep: Int[Tensor, "layers kept"],
        new: Sequence[tuple[slice, int, int]] = (),
        *,
        sources: Int[Tensor, "layers slots"] | None = None,
    ) -> None:
        """Move kept tokens to the front; new slots behind them inherit from the tokens that they name.

        Args:
            first: slot of the first token that may move.
            keep: tokens counted from there, padded with -1.
            new: for runs of layers their first new slot, and how many there are.
            sources: of each new slot the token that it inherits from, counted from ``first``.
        """
        chosen = keep.clamp(min=0) + first
        inherits = None if sources is None else sources.clamp(min=0) + first
        for records in (self._numbers, self.pts_seconds[None]):
            kinds = len(records)
            # before kept tokens move
            inherited = None if inherits is None else records.gather(2, inherits.expand(kinds, -1, -1))
            kept = records.gather(2, chosen.expand(kinds, -1, -1))
            records[:, :, first : first + keep.shape[1]] = kept
            for layers, start, count in new:
                assert inherited is not None
                records[:, layers, start : start + count] = inherited[:, layers, :count]
