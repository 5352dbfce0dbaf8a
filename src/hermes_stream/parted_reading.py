"""A text alone, read in parts that run side by side: what its stream holds, divided, and the text itself.

A kernel for packed sequences reads a text of 32 tokens with one processor for each head, whatever there is to
read. Here every part of what is held is a sequence of its own, in which the tokens of all query heads of a
key-value head are rows; the parts' outputs are weighed by what each one's scores sum up to. On an H200 32
tokens so read 4,100 that are held in 43 microseconds a layer instead of 110 (results/gpu_h200.json).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.blocks import rows_of
from hermes_stream.packed_kernel import SummingKernel

_NUM_PARTS = 8  # 16 are slower for 32 tokens and more


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartedReading:
    """The kernel's arguments for a text of fixed shape that is alone in its forward.

    Attributes:
        kernel: see ``summing_kernel``.
        copies: tokens before each of as many copies of the text as there are parts.
        starts: row of ``rows_of`` where each part begins, and behind them one of no meaning.
        used: slots of each part.
    """

    kernel: SummingKernel
    copies: Int[Tensor, " parts_and_one"]
    starts: Int[Tensor, "layers parts_and_one"]
    used: Int[Tensor, "layers parts"]

    @classmethod
    def of(
        cls,
        kernel: SummingKernel,
        rows: Int[Tensor, " tokens"],
        slots: Int[Tensor, "layers tokens"],
        *,
        rows_per_stream: int,
    ) -> PartedReading:
        """Divide what each layer of a text's stream holds before it.

        Args:
            kernel: see ``summing_kernel``.
            rows: see ``FixedText``.
            slots: likewise; the first token's is as many as are held before it.
            rows_per_stream: of the block.
        """
        borders = torch.arange(_NUM_PARTS + 1, device=slots.device) * slots[:, :1] // _NUM_PARTS
        copies = torch.arange(_NUM_PARTS + 1, dtype=torch.int32, device=slots.device) * len(rows)
        starts = borders + rows[0] * rows_per_stream
        return cls(kernel=kernel, copies=copies, starts=starts.int().contiguous(), used=borders.diff().int())

    def read(
        self,
        layer_idx: int,
        queries: Float[Tensor, "heads tokens head_dim"],
        keys: Float[Tensor, "kv_heads tokens head_dim"],
        values: Float[Tensor, "kv_heads tokens head_dim"],
        *,
        held: Float[Tensor, "2 streams kv_heads slots head_dim"],
        scaling: float,
    ) -> Float[Tensor, "one tokens heads head_dim"]:
        """Return what the tokens read of one layer.

        Args:
            layer_idx: of the layer.
            queries: of the tokens, rotated.
            keys: likewise, rotated.
            values: likewise.
            held: the layer's keys and values of all streams of the block.
            scaling: of scores.
        """
        num_kv_heads, num_slots = held.shape[2:4]
        heads, tokens, width = queries.shape
        group, parts = heads // num_kv_heads, self.used.shape[1]
        asked = queries.transpose(0, 1).unflatten(1, (num_kv_heads, group)).transpose(1, 2)
        asked = asked.expand(parts, -1, -1, -1, -1).reshape(-1, num_kv_heads, width)
        remembered, sums = self.kernel(
            asked,
            *(rows_of(own) for own in held),
            self.copies * group,
            self.starts[layer_idx],
            tokens * group,
            -(-num_slots // parts),
            used=self.used[layer_idx],
            is_causal=False,
            scale=scaling,
        )
        own, own_sums = self.kernel(
            *(one.transpose(0, 1) for one in (queries, keys, values)),
            self.copies[:2],
            self.copies[:2],
            tokens,
            tokens,
            used=None,
            is_causal=True,
            scale=scaling,
        )
        remembered = remembered.view(parts, tokens, group, num_kv_heads, width)
        every = (sums.view(-1, parts, tokens, group), own_sums.view(-1, 1, group, tokens).transpose(2, 3))
        # A part of no slots sums up to nothing; kernels say so by either infinity.
        share = torch.cat(every, dim=1).nan_to_num_(posinf=-torch.inf).softmax(dim=1)[..., None]
        of_parts = share[:, :parts].permute(1, 2, 3, 0, 4)
        read = (remembered * of_parts).sum(dim=0).transpose(1, 2)
        of_own = share[:, parts].transpose(0, 1)
        output = torch.addcmul(read, own.unflatten(1, (num_kv_heads, group)), of_own)
        return output.to(queries.dtype).reshape(1, tokens, heads, width)
