"""One token of each of many streams: written in one operation, read in another.

Streams whose buffers share a block differ in which slots they hold, and a mask says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.blocks import BufferBlock
from hermes_stream.buffers import WholeBuffers
from hermes_stream.cache import StreamCache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenBatch:
    """The tokens of a forward that are written and read together.

    Attributes:
        block: of their streams.
        indices: of the segments in the forward, ascending.
        tokens: which of the forward's tokens they are; None where they are all, in this order.
        rows: where each one's stream lies in the block, counted from the first that is read.
        is_whole: whether every row that is read has a token here, in order.
        first_row: of the block that is read.
        slots: of each token in each layer.
        seen: the slots that each row sees; all, where it has no token here.
    """

    block: BufferBlock
    indices: tuple[int, ...]
    tokens: Int[Tensor, " batch"] | None
    rows: Int[Tensor, " batch"]
    is_whole: bool
    first_row: int
    slots: Int[Tensor, "layers batch"]
    seen: Bool[Tensor, "layers rows 1 1 longest"]

    @classmethod
    def of(cls, caches: Sequence[object], lengths: Sequence[int]) -> TokenBatch | None:
        """Return the tokens that lie in one block; None where there are not two, or few of many rows.

        Args:
            caches: of each segment of a forward, its slots reserved; None where it wants more than that.
            lengths: of each segment, in tokens.
        """
        found: dict[BufferBlock, list[tuple[int, int, StreamCache, int]]] = defaultdict(list)
        tokens = accumulate((0, *lengths[:-1]))
        for index, (token, length, cache) in enumerate(zip(tokens, lengths, caches, strict=True)):
            if length == 1 and isinstance(cache, StreamCache) and isinstance(cache.buffers, WholeBuffers):
                buffers = cache.buffers
                if isinstance(buffers.block, BufferBlock):
                    found[buffers.block].append((index, token, cache, buffers.row))
        if not found:
            return None
        block, members = max(found.items(), key=lambda one: len(one[1]))
        rows = [row for *_, row in members]
        first, count = min(rows), max(rows) - min(rows) + 1
        # Rows between them are read for nothing.
        if len(members) < 2 or 2 * len(members) < count:
            return None
        device = block.tensor.device
        held_of = torch.tensor([cache.num_tokens for _, _, cache, _ in members]).T
        longest, own = int(held_of.max()), torch.tensor(rows) - first
        held = torch.full((len(held_of), count), longest)
        held[:, own] = held_of
        is_all = len(members) == sum(lengths)
        places = None if is_all else torch.tensor([token for _, token, _, _ in members]).to(device)
        return cls(
            block=block,
            indices=tuple(index for index, *_ in members),
            tokens=places,
            rows=own.to(device),
            is_whole=rows == list(range(first, first + count)),
            first_row=first,
            slots=(held_of - 1).to(device),
            seen=(torch.arange(longest) < held[..., None])[:, :, None, None].to(device),
        )

    def attend(
        self,
        layer_idx: int,
        queries: Float[Tensor, "heads tokens head_dim"],
        new: Float[Tensor, "3 kv_heads tokens head_dim"],
        *,
        scaling: float,
    ) -> Float[Tensor, "heads batch head_dim"]:
        """Write the tokens of one layer into their streams, and let each read its own.

        Args:
            layer_idx: of the layer.
            queries: of the whole forward, rotated.
            new: raw keys, rotated keys and values of the whole forward.
            scaling: of scores.
        """
        if self.tokens is not None:
            queries, new = queries.index_select(1, self.tokens), new.index_select(2, self.tokens)
        count, longest = self.seen.shape[1], self.seen.shape[-1]
        held = self.block.tensor[:, self.first_row : self.first_row + count, layer_idx]
        held[:, self.rows, :, self.slots[layer_idx]] = new.permute(2, 0, 1, 3)
        num_heads, _, width = queries.shape
        asked = queries.transpose(0, 1)
        if not self.is_whole:
            asked = queries.new_zeros(count, num_heads, width).index_copy(0, self.rows, asked)
        # The query heads that share a head of keys see the same: they stand where tokens would.
        grouped = asked.reshape(count, held.shape[2], -1, width)
        output = F.scaled_dot_product_attention(
            grouped,
            held[1, :, :, :longest],
            held[2, :, :, :longest],
            attn_mask=self.seen[layer_idx],
            scale=scaling,
        )
        output = output.reshape(count, num_heads, width)
        return (output if self.is_whole else output[self.rows]).transpose(0, 1)
