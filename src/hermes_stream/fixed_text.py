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
    """Where the tokens of a forward of fixed shape stand: texts of one length, of streams in one block.

    Attributes:
        block: the tensor of the streams' block. Only rotated keys and values are written: text is rewound
            before any compression, which is what raw keys are for.
        positions: of each token.
        rows: of the block, of each token.
        slots: of each token in each layer. Padding stands in slots that are free.
        starts: row of ``rows_of`` where the stream of each text begins, and where the last one ends.
        used: slots of each stream, up to the end of its text.
        kernel: see ``packed_kernel``; None reads a single text under a mask.
    """

    block: Float[Tensor, "3 streams layers kv_heads slots head_dim"]
    positions: Int[Tensor, "axes tokens"]
    rows: Int[Tensor, " tokens"]
    slots: Int[Tensor, "layers tokens"]
    starts: Int[Tensor, " texts_and_one"]
    used: Int[Tensor, "layers texts"]
    kernel: Kernel | None

    @property
    def length(self) -> int:
        """Tokens of each text."""
        return self.rows.shape[0] // self.used.shape[1]


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
    if text.kernel is None:
        return _attend_masked(text, layer_idx, queries, held, scaling=scaling)
    ends = torch.arange(text.used.shape[1] + 1, dtype=torch.int32, device=queries.device) * text.length
    output: Tensor = text.kernel(
        queries.transpose(0, 1).contiguous(),
        *(rows_of(own) for own in held),
        cu_seq_q=ends,
        cu_seq_k=text.starts,
        seqused_k=text.used[layer_idx],
        scale=scaling,
        **shape_options(text.length, held.shape[3]),
    )
    return output[None]


def _attend_masked(
    text: FixedText,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    held: Float[Tensor, "2 streams kv_heads slots head_dim"],
    *,
    scaling: float,
) -> Float[Tensor, "one tokens heads head_dim"]:
    """Attend a single text to all slots of its stream, those behind each token hidden."""
    keys, values = held[:, 0] if held.shape[1] == 1 else held.index_select(1, text.rows[:1])[:, 0]
    seen = torch.arange(held.shape[3], device=held.device) <= text.slots[layer_idx][:, None]
    output = F.scaled_dot_product_attention(
        queries[None], keys[None], values[None], attn_mask=seen, scale=scaling, enable_gqa=True
    )
    return output.transpose(1, 2)
