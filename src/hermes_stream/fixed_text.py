"""Text whose places are said in tensors, so that a captured graph can repeat it for other text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_stream.blocks import rows_of
from hermes_stream.packed_kernel import Kernel, shape_options


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedText:
    """Where the tokens of a forward of fixed shape stand, each for itself, whichever texts they are of.

    Attributes:
        block: the tensor of the streams' block. Only rotated keys and values are written: text is rewound
            before any compression, which is what raw keys are for.
        positions: of each token.
        rows: of the block, of each token.
        slots: of each token in each layer; it sees all up to its own. Padding stands in a slot that is free.
        reading: how the kernel reads; None reads the tokens of a single stream under a mask.
    """

    block: Float[Tensor, "3 streams layers kv_heads slots head_dim"]
    positions: Int[Tensor, "axes tokens"]
    rows: Int[Tensor, " tokens"]
    slots: Int[Tensor, "layers tokens"]
    reading: TokenReading | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenReading:
    """The kernel's arguments where each token is read as if it were a stream's only new one.

    So read, the slots that a token sees are divided among many processors of a GPU. Those of one text are
    read once for each of its tokens, mostly from the cache: for texts of a question's length that is less.

    Attributes:
        kernel: see ``packed_kernel``.
        ends: one number more than there are tokens, from 0.
        starts: row of ``rows_of`` where the stream of each token begins, and behind them one of no meaning.
        used: slots that each token sees.
    """

    kernel: Kernel
    ends: Int[Tensor, " tokens_and_one"]
    starts: Int[Tensor, " tokens_and_one"]
    used: Int[Tensor, "layers tokens"]

    @classmethod
    def of(
        cls,
        kernel: Kernel,
        rows_per_stream: int,
        rows: Int[Tensor, " tokens"],
        slots: Int[Tensor, "layers tokens"],
    ) -> TokenReading:
        """Make the arguments of tokens.

        Args:
            kernel: see ``packed_kernel``.
            rows_per_stream: of the block.
            rows: see ``FixedText``.
            slots: likewise.
        """
        starts = F.pad(rows * rows_per_stream, (0, 1)).int()
        ends = torch.arange(len(starts), dtype=torch.int32, device=rows.device)
        return cls(kernel=kernel, ends=ends, starts=starts, used=(slots + 1).int())

    def read(
        self,
        layer_idx: int,
        queries: Float[Tensor, "heads tokens head_dim"],
        held: Float[Tensor, "2 streams kv_heads slots head_dim"],
        *,
        scaling: float,
    ) -> Float[Tensor, "one tokens heads head_dim"]:
        """Return what the tokens read of one layer."""
        output: Tensor = self.kernel(
            queries.transpose(0, 1).contiguous(),
            *(rows_of(own) for own in held),
            cu_seq_q=self.ends,
            cu_seq_k=self.starts,
            seqused_k=self.used[layer_idx],
            scale=scaling,
            **shape_options(1, held.shape[3]),
        )
        return output[None]


def forward_fixed(
    decoder: nn.Module, embeddings: Float[Tensor, "tokens hidden"], text: FixedText
) -> Float[Tensor, "tokens hidden"]:
    """Run text tokens through the decoder, with nothing in Python that depends on their streams.

    Args:
        decoder: transformers' text model, set to the ``hermes`` attention.
        embeddings: of the tokens; what padding holds does not matter.
        text: where they go.

    Returns:
        The last hidden states.
    """
    # Nothing of this text is ever turned again, so that the model's own rotation may turn it.
    positions = text.positions if len(text.positions) == 1 else text.positions[:, None]
    output = decoder(inputs_embeds=embeddings[None], position_ids=positions, use_cache=False, packed=text)
    hidden: Tensor = output.last_hidden_state[0]
    return hidden


def attend_fixed(
    text: FixedText,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    keys: Float[Tensor, "kv_heads tokens head_dim"],
    values: Float[Tensor, "kv_heads tokens head_dim"],
    scaling: float,
) -> Float[Tensor, "one tokens heads head_dim"]:
    """Write text into its slots, and let each token see all slots up to its own.

    Args:
        text: where the tokens go.
        layer_idx: of the layer.
        queries: of the tokens, rotated.
        keys: likewise, rotated.
        values: likewise.
        scaling: of scores.
    """
    held = text.block[1:, :, layer_idx]
    held[:, text.rows, :, text.slots[layer_idx]] = torch.stack((keys, values)).permute(2, 0, 1, 3)
    if text.reading is None:
        return _attend_masked(text, layer_idx, queries, held, scaling=scaling)
    return text.reading.read(layer_idx, queries, held, scaling=scaling)


def _attend_masked(
    text: FixedText,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    held: Float[Tensor, "2 streams kv_heads slots head_dim"],
    *,
    scaling: float,
) -> Float[Tensor, "one tokens heads head_dim"]:
    """Attend tokens of a single stream to all its slots, those behind each token hidden."""
    keys, values = held[:, 0] if held.shape[1] == 1 else held.index_select(1, text.rows[:1])[:, 0]
    seen = torch.arange(held.shape[3], device=held.device) <= text.slots[layer_idx][:, None]
    output = F.scaled_dot_product_attention(
        queries[None], keys[None], values[None], attn_mask=seen, scale=scaling, enable_gqa=True
    )
    return output.transpose(1, 2)
