"""The summary token: what a long-term layer evicts becomes one token."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from hermes_stream.memory.rope import next_position


def merge_evicted(
    raw_keys: Float[Tensor, "*layers kv_heads tokens head_dim"],
    values: Float[Tensor, "*layers kv_heads tokens head_dim"],
    evicted: Bool[Tensor, "*layers tokens"],
    counts: Int[Tensor, "*layers tokens"] | None = None,
) -> tuple[Float[Tensor, "*layers kv_heads head_dim"], Float[Tensor, "*layers kv_heads head_dim"]]:
    """Average the evicted tokens of each layer into one raw key and one value.

    Args:
        raw_keys: keys before rotation.
        values: values.
        evicted: tokens to merge; a layer that evicts nothing gives zeros, to be ignored.
        counts: tokens of the stream that each token stands for, at least 1; weights the mean so that a
            former summary keeps its share. None weighs all alike, as paper and released code do.

    Returns:
        Key and value of the summary token, averaged in float32, in the dtype of the inputs.

    Paper: app. F, alg. 1
    Differs: the paper rotates keys to one common position before it averages; raw keys share one already.
    """
    weights = evicted.float() if counts is None else evicted * counts.float()
    weights = (weights / weights.sum(dim=-1, keepdim=True).clamp(min=1))[..., None, None, :]
    key = (weights @ raw_keys.float()).squeeze(-2)
    value = (weights @ values.float()).squeeze(-2)
    return key.to(raw_keys.dtype), value.to(values.dtype)


def summary_position(
    positions: Num[Tensor, "*layers axes kept"], present: Bool[Tensor, "*layers kept"]
) -> Num[Tensor, "*layers"]:
    """Place the summary right after the kept tokens: (max over all axes) + 1, the same on every axis.

    Args:
        positions: positions of the kept tokens, dense already where this compression re-indexes; at least
            0; may include the prefix.
        present: True where there is a token.

    Returns:
        One position per layer; 0 in a layer that keeps nothing.

    Paper: app. F, alg. 1
    """
    return next_position(positions, present)
