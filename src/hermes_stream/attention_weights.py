"""The weights that attention pays, for who wants to know them: fused kernels keep them to themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.masks import Masks

_MAX_WEIGHT_BYTES = 64 * 2**20
_FEW_WEIGHT_BYTES = 2**19
ROW_OF = 8
"""Numbers of 16 bits that a GPU's fast products want in a row, or a multiple of them. On an H200 others take
180 microseconds where a prompt of 31 tokens reads 4,800 (docs/lab-log.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Collects the attention that a guidance prompt pays to what its stream remembers.

    Attributes:
        weights: softmax weight on each slot of each layer, mean over heads and prompt tokens.
        layers: the layers that are read; the others only take part in the forward.
        last_layer: the deepest of them, -1 without any: nobody reads what the prompt becomes behind it.
    """

    weights: Float[Tensor, "layers slots"]
    layers: frozenset[int]
    last_layer: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "last_layer", max(self.layers, default=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Collects the attention that a segment's own newest tokens pay, while the segment is written.

    Attributes:
        weights: softmax weight on each slot of each layer, mean over heads and tokens.
        num_tokens: how many of the segment's newest tokens are observed.
    """

    weights: Float[Tensor, "layers slots"]
    num_tokens: int


def observe(
    observation: Observation,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "kv_heads held head_dim"],
    *,
    masks: Masks,
    scaling: float,
) -> None:
    """Collect the weight that the newest tokens put on each slot.

    Args:
        observation: what is collected.
        layer_idx: of this layer.
        queries: of the segment's tokens.
        keys: of all that they see, their own last.
        masks: of the forward.
        scaling: of scores.
    """
    queries = queries[:, -observation.num_tokens :]
    for first, weights in _weights(queries, keys, masks.later(queries), masks=masks, scaling=scaling):
        _collect(observation.weights[layer_idx], weights[..., : keys.shape[1]], queries, adds=first > 0)


def probe(
    collected: Float[Tensor, " slots"],
    queries: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "kv_heads held head_dim"],
    values: Float[Tensor, "kv_heads held head_dim"],
    *,
    num_hidden: int,
    masks: Masks,
    scaling: float,
) -> Float[Tensor, "heads tokens head_dim"]:
    """Attend a prompt to memory and itself; collect the weight on each slot of the memory.

    Args:
        collected: takes the weights, mean over heads and tokens.
        queries: of the prompt.
        keys: of the memory, of other prompts, and of this one, in this order.
        values: likewise.
        num_hidden: tokens of those other prompts.
        masks: of the forward.
        scaling: of scores.
    """
    heads, count, width = queries.shape
    held, outputs = keys.shape[1] - count - num_hidden, list[Tensor]()
    hiding = masks.later(queries, num_hidden)
    for first, weights in _weights(queries, keys, hiding, masks=masks, scaling=scaling):
        _collect(collected, weights[..., :held], queries, adds=first > 0)
        outputs.append((weights @ _filled(values)).view(heads, -1, width))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def are_few(num_weights: int) -> bool:
    """Tell whether one product that makes all these weights beats fused kernels that make none."""
    return 4 * num_weights <= _FEW_WEIGHT_BYTES


def weigh_with_probes(
    probes: Sequence[tuple[Probe, slice]],
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    keys: Float[Tensor, "kv_heads held head_dim"],
    masks: Masks,
    scaling: float,
) -> Float[Tensor, "heads tokens held"]:
    """Weigh what a segment and the prompts behind it see in one product; collect what prompts pay.

    Each prompt sees the memory, the segment and itself, and no other prompt.

    Args:
        probes: of the prompts, with their tokens in the forward.
        layer_idx: of this layer.
        queries: of the segment, or of none of it, and of the prompts.
        keys: of the memory, of the segment and of the prompts.
        masks: of the forward.
        scaling: of scores.

    Returns:
        The weights, which ``read`` takes.
    """
    heads, count = queries.shape[:2]
    held, first = keys.shape[1], probes[-1][1].stop - count
    lengths = (probes[0][1].start - first, *(tokens.stop - tokens.start for _, tokens in probes))
    keys, group = _filled(keys), heads // keys.shape[0]
    added = masks.apart(queries, lengths, group, held=held, end=keys.shape[1])
    weights = _softmax(queries, keys, added, scaling).view(heads, count, -1)
    num_seen = held - count + lengths[0]
    for one, tokens in probes:
        if layer_idx in one.layers:
            share = masks.share(weights, slice(tokens.start - first, tokens.stop - first))
            paid, collected = weights.view(-1, weights.shape[2]).mT[:num_seen], one.weights[layer_idx]
            # a product with a row, instead of a mean of rows that do not lie together
            if collected.device == paid.device:
                torch.mv(paid, share, out=collected[:num_seen])
            else:
                collected[:num_seen] = torch.mv(paid, share)
    return weights


def read(
    weights: Float[Tensor, "heads tokens held"], values: Float[Tensor, "kv_heads held head_dim"]
) -> Float[Tensor, "heads tokens head_dim"]:
    """Return what tokens read with their weights.

    Args:
        weights: from ``weigh_with_probes``.
        values: of the memory, of the segment and of the prompts.
    """
    heads, count, width = weights.shape[0], weights.shape[1], values.shape[2]
    rows = weights.view(values.shape[0], -1, weights.shape[2])
    return torch.bmm(rows, _filled(values)).view(heads, count, width)


def _weights(
    queries: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "kv_heads held head_dim"],
    hiding: Float[Tensor, "tokens newest"],
    *,
    masks: Masks,
    scaling: float,
) -> Iterator[tuple[int, Float[Tensor, "kv_heads rows held"]]]:
    """Yield the softmax weights of some of the tokens at a time, and which is the first of them.

    Rows are heads, then tokens; ``hiding`` is added to what they pay to the newest keys. Softmax is taken in
    float32, whatever it is given, and rounded to what values are multiplied by. What keys are filled up with,
    see ``_filled``, weighs nothing.
    """
    heads, count = queries.shape[:2]
    num_kv_heads, num_held = keys.shape[:2]
    keys = _filled(keys)
    held, group = keys.shape[1], heads // num_kv_heads
    most = max(1, _MAX_WEIGHT_BYTES // (4 * heads * held))
    for first in range(0, count, most):
        part = queries[:, first : first + most]
        added = masks.spread(hiding, slice(first, first + most), group, held=num_held, end=held)
        yield first, _softmax(part, keys, added, scaling)


def _softmax(
    queries: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "kv_heads held head_dim"],
    added: Float[Tensor, "one rows held"],
    scaling: float,
) -> Float[Tensor, "kv_heads rows held"]:
    # One product for each head of keys: its group of query heads side by side.
    rows = queries.reshape(keys.shape[0], -1, queries.shape[2])
    return torch.baddbmm(added, rows, keys.mT, alpha=scaling).softmax(dim=-1)


def _filled(
    held: Float[Tensor, "kv_heads held head_dim"],
) -> Float[Tensor, "kv_heads held_and_filling head_dim"]:
    """Return keys or values with zeros behind them, so that products of weights have full rows on a GPU."""
    missing = -held.shape[1] % ROW_OF
    return F.pad(held, (0, 0, 0, missing)) if missing and wants_full_rows(held) else held


def wants_full_rows(held: Tensor) -> bool:
    """Tell whether a device's products of these numbers are faster where rows are multiples of ``ROW_OF``."""
    return held.is_cuda and held.dtype.itemsize == 2


def _collect(
    collected: Float[Tensor, " slots"],
    weights: Float[Tensor, "some_heads rows held"],
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    adds: bool,
) -> None:
    """Take the mean over all heads and tokens of a text, or what a part of the tokens adds to it."""
    into = collected[: weights.shape[2]]
    num_queries = queries.shape[0] * queries.shape[1]
    if weights.shape[:2].numel() == num_queries and into.device == weights.device:
        torch.mean(weights, dim=(0, 1), dtype=into.dtype, out=into)
        return
    total = weights.sum(dim=(0, 1), dtype=into.dtype).to(into.device) / num_queries
    into.add_(total) if adds else into.copy_(total)
