"""Buffers of several streams in one tensor, so that tokens of all of them are written and read at once."""

from __future__ import annotations

import math
import weakref
from collections import defaultdict
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.buffers import WholeBuffers
from hermes_stream.layout import CacheLayout


@final
class BufferBlock:
    """Room for the keys and values of several streams of one shape.

    Args:
        layout: the model's shape; all layers on one device, in the model's dtype.
        num_slots: slots of each layer, the same in all.
        num_streams: how many streams it has room for.

    Attributes:
        tensor: ``[3, streams, layers, kv_heads, slots, head_dim]``: raw keys, rotated keys, values.
    """

    def __init__(self, layout: CacheLayout, num_slots: int, num_streams: int) -> None:
        shape = (3, num_streams, layout.num_layers, layout.num_kv_heads, num_slots, layout.head_dim)
        self.tensor = torch.zeros(shape, dtype=layout.dtype, device=layout.device)
        self._layout, self._num_slots = layout, num_slots
        self._free = list(range(num_streams))[::-1]

    @property
    def num_free(self) -> int:
        """Streams that it still has room for."""
        return len(self._free)

    @property
    def row_bytes(self) -> int:
        """Bytes of one stream's room."""
        return self.tensor.nbytes // self.tensor.shape[1]

    @property
    def rows_per_stream(self) -> int:
        """Rows of ``rows_of`` from where one stream begins to where the next one does."""
        return math.prod(self.tensor.shape[2:5])

    def take(self) -> WholeBuffers:
        """Return the buffers of one more stream; its room is free again when they are gone."""
        row = self._free.pop()
        capacities = [self._num_slots] * self._layout.num_layers
        buffers = WholeBuffers(self._layout, capacities, joined=self.tensor[:, row])
        buffers.block, buffers.row = self, row
        weakref.finalize(buffers, self._free.append, row)
        return buffers


def rows_of(
    held: Float[Tensor, "streams kv_heads slots head_dim"],
) -> Float[Tensor, "rows kv_heads head_dim"]:
    """Return one layer of a block as if it were one long stream; most of its rows belong to other layers."""
    num_streams, num_heads, num_slots, width = held.shape
    count = (num_streams - 1) * (held.stride(0) // width) + num_slots
    return held.as_strided((count, num_heads, width), (width, num_slots * width, 1))


@final
class BufferBlocks:
    """The blocks of an engine.

    Args:
        streams_per_block: streams of one shape that share a block; with 1 each has one of its own on a GPU,
            whose kernels read blocks, and none elsewhere.

    Attributes:
        room_bytes: what may be reserved for streams that are yet to come, 0 at first; None has no bound.
    """

    def __init__(self, streams_per_block: int) -> None:
        self._streams_per_block = streams_per_block
        self._blocks: defaultdict[int, list[BufferBlock]] = defaultdict(list)
        self.room_bytes: int | None = 0

    @property
    def spare_bytes(self) -> int:
        """What is reserved for streams that are yet to come."""
        return sum(one.num_free * one.row_bytes for own in self._blocks.values() for one in own)

    def reserved_bytes(self, capacities: Sequence[int]) -> int:
        """Return what is reserved for a stream with so many slots in its layers; 0 where nothing is."""
        own = self._blocks.get(capacities[0], []) if len(set(capacities)) == 1 else []
        return next((one.row_bytes for one in own if one.num_free), 0)

    def take(self, layout: CacheLayout, capacities: Sequence[int]) -> WholeBuffers | None:
        """Return the buffers of one more stream; None where they cannot share a block.

        Args:
            layout: the model's shape.
            capacities: slots of each layer.
        """
        is_plain = layout.kv_bits is None and not layout.layer_devices and len(set(capacities)) == 1
        if not is_plain:
            return None
        if self._streams_per_block == 1:
            return BufferBlock(layout, capacities[0], 1).take() if layout.device.type == "cuda" else None
        own, num_slots = self._blocks[capacities[0]], capacities[0]
        block = next((one for one in own if one.num_free), None)
        if block is None:
            row_bytes = num_slots * layout.bytes_per_token
            spare = (self._streams_per_block - 1) * row_bytes
            if self.room_bytes is not None and spare > self.room_bytes:
                return None
            block = BufferBlock(layout, num_slots, self._streams_per_block)
            own.append(block)
        return block.take()

    def drop_empty(self) -> None:
        """Let go of blocks that no stream is in."""
        for own in self._blocks.values():
            own[:] = [one for one in own if one.num_free < one.tensor.shape[1]]
