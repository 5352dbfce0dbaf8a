"""The decoder once more, written out plainly: what it says of keys and values that a memory holds.

An oracle for memories whose layers hold different tokens at different positions, for which transformers has
no mask. Weights and norms are transformers' modules; attention and rotation are spelled out.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.cache import StreamCache


@torch.inference_mode()
def recomputed_hidden(
    decoder: Any, cache: StreamCache, embeddings: Float[Tensor, "tokens hidden"], start: int
) -> Float[Tensor, "tokens hidden"]:
    """Return last hidden states of text that reads what a cache holds.

    Args:
        decoder: transformers' Llama, as transformers loads it.
        cache: raw keys, values and positions of every layer.
        embeddings: of the text.
        start: position of its first token.
    """
    positions, hidden = torch.arange(start, start + len(embeddings))[None], embeddings
    for index, layer in enumerate(decoder.layers):
        own, normed = layer.self_attn, layer.input_layernorm(hidden)
        query, key, value = (_heads(part(normed), own) for part in (own.q_proj, own.k_proj, own.v_proj))
        query, key = (_turned(decoder, one, positions) for one in (query, key))
        held = _turned(decoder, cache.keys(index), cache.positions(index))
        keys, values = torch.cat([held, key], dim=1), torch.cat([cache.values(index), value], dim=1)
        attended = own.o_proj(_attend(query, keys, values).transpose(0, 1).flatten(1))
        hidden = hidden + attended
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return decoder.norm(hidden)


def _heads(flat: Float[Tensor, "tokens width"], attention: Any) -> Float[Tensor, "heads tokens head_dim"]:
    return flat.unflatten(1, (-1, attention.head_dim)).transpose(0, 1)


def _turned(
    decoder: Any, states: Float[Tensor, "heads tokens head_dim"], positions: Int[Tensor, "1 tokens"]
) -> Float[Tensor, "heads tokens head_dim"]:
    """Rotate by positions, with transformers' own cosine and sine."""
    cos, sin = decoder.rotary_emb(states, positions)
    first, second = states.chunk(2, dim=-1)
    return states * cos[0] + torch.cat([-second, first], dim=-1) * sin[0]


def _attend(
    query: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "kv_heads held head_dim"],
    values: Float[Tensor, "kv_heads held head_dim"],
) -> Float[Tensor, "heads tokens head_dim"]:
    groups, num_new = len(query) // len(keys), query.shape[1]
    keys, values = keys.repeat_interleave(groups, dim=0), values.repeat_interleave(groups, dim=0)
    scores = query @ keys.transpose(1, 2) / query.shape[2] ** 0.5
    later = torch.ones(num_new, keys.shape[1], dtype=torch.bool).triu(keys.shape[1] - num_new + 1)
    return scores.masked_fill(later, -torch.inf).softmax(dim=-1) @ values
