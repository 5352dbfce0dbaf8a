"""New tokens of many streams: written in one operation and, where that can be, read in another.

Streams whose buffers share a block differ in which slots they hold. One token of each is read under a mask
that says so, on any device; segments of any lengths by the packed kernel, on devices that have one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.attention_kernels import attend
from hermes_stream.blocks import BufferBlock, rows_of
from hermes_stream.buffers import WholeBuffers
from hermes_stream.cache import StreamCache
from hermes_stream.memory.constants import sent
from hermes_stream.packed_kernel import Kernel, kernel_options, packed_kernel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentBatch:
    """The segments of a forward whose streams lie in one block.

    Attributes:
        block: of their streams.
        lengths: tokens of each segment, by its index in the forward, ascending.
        tokens: which of the forward's tokens they are; None where they are all.
        rows: of the block, for each token.
        slots: of each token in each layer.
        reading: how they are read at once; None reads them one by one.
    """

    block: BufferBlock
    lengths: dict[int, int]
    tokens: Int[Tensor, " batch"] | None
    rows: Int[Tensor, " batch"]
    slots: Int[Tensor, "layers batch"]
    reading: MaskedReading | PackedReading | None

    @classmethod
    def of(cls, caches: Sequence[object], lengths: Sequence[int]) -> SegmentBatch | None:
        """Return the segments that lie in the block of most; None where there are not two.

        Args:
            caches: of each segment of a forward, its slots reserved; None where it wants more than that.
            lengths: of each segment, in tokens.
        """
        found: dict[BufferBlock, dict[int, StreamCache]] = defaultdict(dict)
        for index, cache in enumerate(caches):
            block = getattr(cache.buffers, "block", None) if isinstance(cache, StreamCache) else None
            if isinstance(block, BufferBlock) and isinstance(cache, StreamCache):
                found[block][index] = cache
        if not found:
            return None
        block, members = max(found.items(), key=lambda one: len(one[1]))
        if len(members) < 2:
            return None
        device, starts = block.tensor.device, list(accumulate((0, *lengths)))
        own = {index: lengths[index] for index in members}
        rows = [cache.buffers.row for cache in members.values() if isinstance(cache.buffers, WholeBuffers)]
        held = torch.tensor([cache.num_tokens for cache in members.values()]).T
        repeats = torch.tensor(list(own.values()))
        # Of a segment's tokens the last stands in the last slot.
        back = torch.cat([torch.arange(-length, 0) for length in own.values()])
        tokens = torch.cat([torch.arange(starts[index], starts[index + 1]) for index in members])
        return cls(
            block=block,
            lengths=own,
            tokens=None if len(tokens) == starts[-1] else sent(tokens, device),
            rows=sent(torch.tensor(rows).repeat_interleave(repeats), device),
            slots=sent(held.repeat_interleave(repeats, dim=1) + back, device),
            reading=_reading(block, tuple(own.values()), rows, held),
        )

    def write(self, layer_idx: int, new: Float[Tensor, "3 kv_heads tokens head_dim"]) -> None:
        """Write the tokens of one layer into their streams.

        Args:
            layer_idx: of the layer.
            new: raw keys, rotated keys and values of the whole forward.
        """
        own = new if self.tokens is None else new.index_select(2, self.tokens)
        self.block.tensor[:, :, layer_idx][:, self.rows, :, self.slots[layer_idx]] = own.permute(2, 0, 1, 3)

    def read(
        self, layer_idx: int, queries: Float[Tensor, "heads tokens head_dim"], *, scaling: float
    ) -> dict[int, Float[Tensor, "heads tokens head_dim"]]:
        """Return what each segment reads, by its index; nothing where they are read one by one.

        Args:
            layer_idx: of the layer.
            queries: of the whole forward, rotated.
            scaling: of scores.
        """
        if self.reading is None:
            return {}
        own = queries if self.tokens is None else queries.index_select(1, self.tokens)
        output = self.reading.read(self.block, layer_idx, own, scaling=scaling)
        if self.tokens is None:
            return {-1: output}
        return dict(zip(self.lengths, output.split(list(self.lengths.values()), dim=1), strict=True))


def _reading(
    block: BufferBlock, lengths: tuple[int, ...], rows: list[int], held: Int[Tensor, "layers members"]
) -> MaskedReading | PackedReading | None:
    """Choose how segments are read at once."""
    tensor = block.tensor
    kernel = packed_kernel(tensor.device, tensor.dtype, tensor.shape[-1])
    if kernel is not None:
        return PackedReading.of(kernel, block, lengths, rows=rows, held=held)
    count = max(rows) - min(rows) + 1
    # Rows between those of the members are read for nothing.
    if max(lengths) > 1 or 2 * len(rows) < count:
        return None
    return MaskedReading.of(block, rows, held)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskedReading:
    """Reads one token of each stream under a mask.

    Attributes:
        rows: of the members, counted from the first that is read.
        is_whole: whether every row that is read has a token here, in order.
        first_row: of the block that is read.
        seen: the slots that each row sees; all, where it has no token here.
    """

    rows: Int[Tensor, " batch"]
    is_whole: bool
    first_row: int
    seen: Bool[Tensor, "layers rows 1 1 longest"]

    @classmethod
    def of(cls, block: BufferBlock, rows: list[int], held: Int[Tensor, "layers members"]) -> MaskedReading:
        """Make the mask of all layers.

        Args:
            block: that is read.
            rows: of the members.
            held: tokens that each holds in each layer.
        """
        device, first, longest = block.tensor.device, min(rows), int(held.max())
        own = torch.tensor(rows) - first
        all_held = torch.full((len(held), max(rows) - first + 1), longest)
        all_held[:, own] = held
        return cls(
            rows=sent(own, device),
            is_whole=rows == list(range(first, first + len(rows))),
            first_row=first,
            seen=sent((torch.arange(longest) < all_held[..., None])[:, :, None, None], device),
        )

    def read(
        self,
        block: BufferBlock,
        layer_idx: int,
        queries: Float[Tensor, "heads batch head_dim"],
        *,
        scaling: float,
    ) -> Float[Tensor, "heads batch head_dim"]:
        """Return what the tokens read in one layer."""
        count, longest = self.seen.shape[1], self.seen.shape[-1]
        held = block.tensor[1:, self.first_row : self.first_row + count, layer_idx, :, :longest]
        num_heads, _, width = queries.shape
        asked = queries.transpose(0, 1)
        if not self.is_whole:
            asked = queries.new_zeros(count, num_heads, width).index_copy(0, self.rows, asked)
        # The query heads that share a head of keys see the same: they stand where tokens would.
        grouped = asked.reshape(count, held.shape[2], -1, width)
        mask = self.seen[layer_idx]
        output = attend(grouped, held[0], held[1], mask, scaling=scaling)
        output = output.reshape(count, num_heads, width)
        return (output if self.is_whole else output[self.rows]).transpose(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedReading:
    """Reads segments of any lengths by the packed kernel, where they lie.

    Attributes:
        kernel: see ``packed_kernel``.
        options: see ``kernel_options``.
        used: tokens that each member holds in each layer.
    """

    kernel: Kernel
    options: dict[str, Any]
    used: Int[Tensor, "layers members"]

    @classmethod
    def of(
        cls,
        kernel: Kernel,
        block: BufferBlock,
        lengths: tuple[int, ...],
        *,
        rows: list[int],
        held: Int[Tensor, "layers members"],
    ) -> PackedReading:
        """Make the kernel's arguments.

        Args:
            kernel: see ``packed_kernel``.
            block: that is read.
            lengths: of the segments, in tokens.
            rows: of the members.
            held: tokens that each holds in each layer.
        """
        device, starts = block.tensor.device, [row * block.rows_per_stream for row in rows]
        options = kernel_options(lengths, int(held.max()), starts, device)
        return cls(kernel=kernel, options=options, used=sent(held.int().contiguous(), device))

    def read(
        self,
        block: BufferBlock,
        layer_idx: int,
        queries: Float[Tensor, "heads tokens head_dim"],
        *,
        scaling: float,
    ) -> Float[Tensor, "heads tokens head_dim"]:
        """Return what the tokens read in one layer."""
        keys, values = (rows_of(block.tensor[kind, :, layer_idx]) for kind in (1, 2))
        used = self.used[layer_idx]
        asked = queries.transpose(0, 1).contiguous()
        output = self.kernel(asked, keys, values, **self.options, seqused_k=used, scale=scaling)
        return output.transpose(0, 1)
