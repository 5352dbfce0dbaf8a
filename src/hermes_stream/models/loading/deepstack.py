"""Qwen3-VL's features for its first layers, added without the host waiting to learn where they belong."""

from __future__ import annotations

from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

_ADDING = "_deepstack_process"  # transformers' name


def fuse_deepstack(decoder: Any) -> None:
    """Let a decoder add features to all tokens, as ``attention`` gives them: zeros to those that have none.

    transformers' own selects tokens by a mask, twice in each of the first layers, and a GPU must tell the
    host each time how many they are.

    Args:
        decoder: transformers' text model, loaded by us and nobody else's.
    """
    if hasattr(decoder, _ADDING):
        setattr(decoder, _ADDING, _added)


def _added(
    hidden: Float[Tensor, "one tokens hidden"],
    _has_some: Bool[Tensor, "one tokens"],
    features: Float[Tensor, "tokens hidden"],
) -> Float[Tensor, "one tokens hidden"]:
    return hidden + features.to(hidden.device, hidden.dtype)
