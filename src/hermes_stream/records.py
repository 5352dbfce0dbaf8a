"""What is recorded of every token beside its key and value: who it is, whence it comes, where it stands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from hermes_stream.buffers import runs_of
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.state import VisualOrigin


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
        device, shape = layout.device, (layout.num_layers, width)
        self.token_ids, self.temporal_patch_ids, self.grid_indices = (
            torch.full(shape, -1, dtype=torch.long, device=device) for _ in range(3)
        )
        self.positions = torch.zeros(
            (layout.num_layers, layout.rotary.num_axes, width), dtype=torch.long, device=device
        )
        self.counts = torch.zeros(shape, dtype=torch.long, device=device)
        seconds = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self.pts_seconds = torch.zeros(shape, dtype=seconds, device=device)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of them by name, slots along the last axis."""
        names = ("token_ids", "temporal_patch_ids", "grid_indices", "positions", "counts", "pts_seconds")
        return {name: getattr(self, name) for name in names}

    def copy_from(self, smaller: Records) -> None:
        """Copy what fewer slots hold."""
        for own, other in zip(self.tensors.values(), smaller.tensors.values(), strict=True):
            own[..., : other.shape[-1]] = other

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
        count = positions.shape[1]
        new = {"positions": positions}
        if origin is not None:
            new |= {
                "token_ids": torch.arange(first_id, first_id + count),
                "temporal_patch_ids": origin.temporal_patch_ids,
                "pts_seconds": origin.pts_seconds,
                "counts": torch.ones(count) if origin.is_text is None else ~origin.is_text,
                "grid_indices": (
                    torch.full((count,), -1) if origin.grid_indices is None else origin.grid_indices
                ),
            }
        for name, record in ((name, self.tensors[name]) for name in new):
            # As one kind of number before it moves, so that the device only copies.
            own = new[name].to(record.dtype).to(record.device, non_blocking=True)
            for layers in runs_of(lengths):
                start = lengths[layers.start]
                record[layers, ..., start : start + count] = own

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
        others = [record for name, record in self.tensors.items() if name != "positions"]
        for record in (*self.positions.unbind(1), *others):
            inherited = None if inherits is None else record.gather(1, inherits)  # before kept tokens move
            record[:, first : first + keep.shape[1]] = record.gather(1, chosen)
            for layers, start, count in new:
                assert inherited is not None
                record[layers, start : start + count] = inherited[layers, :count]
