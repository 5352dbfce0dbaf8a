"""Guidance prompts that do not advance: every layer reads their token embeddings, as the first one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from hermes_stream.attention import Enough, forward
from hermes_stream.packed import Packed
from hermes_stream.segments import Segment


def read_embeddings(decoder: nn.Module, segments: Sequence[Segment]) -> None:
    """Let every layer's attention read the embeddings of probes; nothing else of a layer need run.

    Args:
        decoder: transformers' text model, set to the ``hermes`` attention.
        segments: probes.
    """
    layers: Any = decoder.layers
    is_spread = bool(segments[0].cache.layout.layer_devices)

    def read_in_all(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
        # Another forward may run through the same model meanwhile, or later, where Ctrl-C left this hook
        # behind: it is left alone. While hooks come and go torch may call this one there without keywords.
        packed = (kwargs or {}).get("packed")
        if not isinstance(packed, Packed) or packed.segments is not segments:
            return
        hook.remove()
        for layer in layers:
            if is_spread:
                layer(*args, **(kwargs or {}))  # whole, since it is what brings itself its input
            else:
                layer.self_attn(hidden_states=layer.input_layernorm(args[0]), **(kwargs or {}))
        raise Enough

    hook: Any = layers[0].register_forward_pre_hook(read_in_all, with_kwargs=True)
    try:
        forward(decoder, segments, wants_hidden=False, all_stay=True)
    finally:
        hook.remove()
