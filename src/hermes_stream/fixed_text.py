"""Text of fixed length in slots that tensors name, so that a captured graph can repeat it for other text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_stream.buffers import WholeBuffers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedText:
    """Slots and rotation of the text tokens of a forward of fixed length; the last ones may be padding.

    Attributes:
        buffers: of the stream. Only rotated keys are written: text is rewound before any compression, which
            is what raw keys are for.
        cos: rotation of each token, ``[length, head_dim]``.
        signed_sin: likewise, see ``memory.rope.turn``.
        starts: slot of the first token in each layer.
    """

    buffers: WholeBuffers
    cos: Float[Tensor, "length head_dim"]
    signed_sin: Float[Tensor, "length head_dim"]
    starts: Int[Tensor, " layers"]


def forward_fixed(
    decoder: nn.Module, embeddings: Float[Tensor, "length hidden"], text: FixedText
) -> Float[Tensor, "length hidden"]:
    """Run text tokens of one stream through the decoder, with nothing in Python that depends on the stream.

    Args:
        decoder: transformers' text model, set to the ``hermes`` attention.
        embeddings: of the tokens; what padding holds does not matter.
        text: where they go.

    Returns:
        The last hidden states.
    """
    position_ids = torch.zeros(1, len(embeddings), dtype=torch.long, device=embeddings.device)
    output = decoder(inputs_embeds=embeddings[None], position_ids=position_ids, use_cache=False, packed=text)
    hidden: Tensor = output.last_hidden_state[0]
    return hidden


def attend_fixed(
    text: FixedText,
    layer_idx: int,
    queries: Float[Tensor, "heads length head_dim"],
    *,
    rotated: Float[Tensor, "kv_heads length head_dim"],
    values: Float[Tensor, "kv_heads length head_dim"],
    scaling: float,
) -> Float[Tensor, "one length heads head_dim"]:
    """Write text into its slots and attend to all slots up to each token's own."""
    held_keys, held_values = text.buffers.whole(layer_idx)
    device = held_keys.device
    # Tensors only, and a mask over all slots: a captured graph repeats what Python decided the first time.
    slots = text.starts[layer_idx].to(device) + torch.arange(queries.shape[1], device=device)
    held_keys.index_copy_(1, slots, rotated)
    held_values.index_copy_(1, slots, values)
    seen = torch.arange(held_keys.shape[1], device=device) <= slots[:, None]
    output = F.scaled_dot_product_attention(
        queries[None], held_keys[None], held_values[None], attn_mask=seen, scale=scaling, enable_gqa=True
    )
    return output.transpose(1, 2)
