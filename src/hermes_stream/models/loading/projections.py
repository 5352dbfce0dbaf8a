"""Queries, keys and values of a layer as one product instead of three, turned once instead of twice.

A family's own attention makes them by three products, and rotates them by nothing, since the model runs at
position 0. On an H200 three products take a token of a 7B model 27 microseconds a layer, one takes 11.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_stream.attention import attend
from hermes_stream.fixed_text import FixedText

log = logging.getLogger(__name__)
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
_TRIED = 4
_TOLERANCE = 0.02  # of bfloat16, where one product may add up in another order than three


def fuse_projections(decoder: nn.Module) -> None:
    """Let a decoder's layers project and attend by our own forward, where it computes what theirs does.

    The three weights become parts of one tensor; their names stay. Quantised ones stay three. Layers that are
    placed by accelerate keep its hooks and are left alone.

    Args:
        decoder: transformers' text model, set to the ``hermes`` attention, loaded by us and nobody else's.
    """
    layers: list[Any] = [module for module in decoder.modules() if _looks_like_attention(module)]
    scale = float(getattr(getattr(decoder, "rotary_emb", None), "attention_scaling", 1.0))
    if not layers or not _agree(decoder, layers[0], scale):
        return
    for attention in layers:
        if _can_be_joined([getattr(attention, name) for name in _PROJECTIONS]):
            _join_weights(attention)
        attention.forward = partial(_forward, attention, attention.forward, scale)


def _looks_like_attention(module: nn.Module) -> bool:
    parts = [getattr(module, name, None) for name in (*_PROJECTIONS, "o_proj")]
    is_placed = any(hasattr(one, "_hf_hook") for one in module.modules())
    is_whole = all(isinstance(part, nn.Module) for part in parts) and hasattr(module, "layer_idx")
    return is_whole and not is_placed


def _projected(
    attention: Any, hidden: Float[Tensor, "one tokens hidden"], scale: float
) -> tuple[Float[Tensor, "heads_and_kv_heads tokens head_dim"], Float[Tensor, "kv_heads tokens head_dim"]]:
    """Return queries with keys behind them, not rotated, and values."""
    joint = getattr(attention, "joint_weight", None)
    if joint is None:
        every = torch.cat([getattr(attention, name)(hidden) for name in _PROJECTIONS], dim=-1)
    else:
        every = F.linear(hidden, joint, attention.joint_bias)
    heads = every[0].unflatten(-1, (-1, attention.head_dim)).transpose(0, 1)
    num_kv_heads = attention.v_proj.out_features // attention.head_dim
    raw, values = heads.split((heads.shape[0] - num_kv_heads, num_kv_heads))
    if hasattr(attention, "q_norm"):
        queries, keys = raw.split((len(raw) - num_kv_heads, num_kv_heads))
        raw = torch.cat((attention.q_norm(queries), attention.k_norm(keys)))
    return raw if scale == 1 else raw * scale, values


def _forward(
    attention: Any, original: Callable[..., Any], scale: float, *args: Any, **options: Any
) -> tuple[Tensor, Any]:
    """Do what a family's attention does, in our own forwards; let it do all others itself."""
    packed, hidden = options.get("packed"), options.get("hidden_states")
    if packed is None or hidden is None:
        result: tuple[Tensor, Any] = original(*args, **options)
        return result
    raw, values = _projected(attention, hidden, scale)
    output = attend(packed, attention.layer_idx, raw, values, scaling=attention.scaling)
    return attention.o_proj(output.reshape(1, hidden.shape[1], -1)), None


def _can_be_joined(projections: list[Any]) -> bool:
    # torchao keeps the module and puts a tensor of its own inside.
    is_plain = all(type(one) is nn.Linear and type(one.weight) is nn.Parameter for one in projections)
    return is_plain and len({one.bias is None for one in projections}) == 1


def _join_weights(attention: Any) -> None:
    """Lay three weights behind each other, and let each projection go on with its part."""
    projections = [getattr(attention, name) for name in _PROJECTIONS]
    sizes = [one.out_features for one in projections]
    for kind in ("weight", "bias"):
        own = [getattr(one, kind) for one in projections]
        if own[0] is None:
            attention.register_buffer(f"joint_{kind}", None, persistent=False)
            continue
        joint = torch.cat([one.detach() for one in own])
        attention.register_buffer(f"joint_{kind}", joint, persistent=False)
        for projection, part in zip(projections, joint.split(sizes), strict=True):
            setattr(projection, kind, nn.Parameter(part, requires_grad=False))


class _Given(Exception):  # noqa: N818 - nothing is wrong
    """What a decoder gives its first layer's attention."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.options = options


@torch.no_grad()
def _agree(decoder: Any, attention: Any, scale: float) -> bool:
    """Tell whether both make the same of some numbers: other families gate what is attended, say."""
    weight = decoder.embed_tokens.weight
    try:
        given = _given(decoder, attention, decoder.embed_tokens(torch.arange(_TRIED, device=weight.device)))
        texts = [_text(attention, weight) for _ in range(2)]
        expected, _ = attention(**given | {"packed": texts[0]})
        found, _ = _forward(attention, attention.forward, scale, **given | {"packed": texts[1]})
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        log.info("the decoder goes on with its own attention: %s", error)
        return False
    pairs = ((expected, found), (texts[0].block, texts[1].block))
    return all(
        one.shape == other.shape and torch.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE)
        for one, other in pairs
    )


def _given(decoder: Any, attention: Any, embeddings: Float[Tensor, "tokens hidden"]) -> dict[str, Any]:
    """Return the keywords that a decoder calls its first layer's attention with."""

    def stop(module: nn.Module, args: Any, options: dict[str, Any]) -> None:  # noqa: ARG001
        raise _Given(options)

    handle = attention.register_forward_pre_hook(stop, with_kwargs=True)
    nowhere = torch.zeros(1, len(embeddings), dtype=torch.long, device=embeddings.device)
    try:
        decoder(inputs_embeds=embeddings[None], position_ids=nowhere, use_cache=False)
    except _Given as given:
        return given.options
    finally:
        handle.remove()
    raise ValueError("its first layer's attention is not called")


def _text(attention: Any, like: Tensor) -> FixedText:
    """Return some tokens of a stream that holds nothing else, in slots of their own."""
    num_kv_heads, width = attention.v_proj.out_features // attention.head_dim, attention.head_dim
    tokens = torch.arange(_TRIED, device=like.device)
    ones = torch.ones(_TRIED, width, dtype=like.dtype, device=like.device)
    num_layers = attention.layer_idx + 1
    return FixedText(
        block=like.new_zeros(3, 1, num_layers, num_kv_heads, _TRIED, width),
        cos=ones,
        signed_sin=torch.zeros_like(ones),
        rows=torch.zeros_like(tokens),
        slots=tokens.expand(num_layers, -1),
        reading=None,
    )
