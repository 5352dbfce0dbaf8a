"""The attention that owns the memory: it writes raw keys to streams' caches, reads them, and rotates.

It is registered with transformers under the name ``hermes`` and receives the segments of a packed forward as
the keyword ``segments``. The model is called without a cache of its own and with all positions 0, so that its
rotation is the identity; positions are given here. Several streams, of any lengths, share one forward: each
segment sees its own stream only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_stream.attention_batch import SegmentBatch
from hermes_stream.fixed_text import FixedText, attend_fixed
from hermes_stream.layout import CacheLayout
from hermes_stream.masks import Masks
from hermes_stream.memory.rope import signed, turn

ATTENTION_NAME = "hermes"
_MAX_WEIGHT_BYTES = 64 * 2**20


@runtime_checkable
class KeysAndValues(Protocol):
    """What attention needs of a stream's cache, or of another store that a question reads."""

    layout: CacheLayout

    def store(self, layer_idx: int, *, raw_keys: Tensor, rotated_keys: Tensor, values: Tensor) -> None:
        """Fill the slots that were reserved last, in one layer."""

    def rotated_keys(self, layer_idx: int) -> Tensor:
        """Return the keys that a layer holds, rotated to their positions."""

    def values(self, layer_idx: int) -> Tensor:
        """Return the values that a layer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Collects the attention that a guidance prompt pays to what its stream remembers.

    Attributes:
        weights: softmax weight on each slot of each layer, mean over heads and prompt tokens; summed up.
        layers: the layers that are read; the others only take part in the forward.
    """

    weights: Float[Tensor, "layers slots"]
    layers: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Collects the attention that a segment's own newest tokens pay, while the segment is written.

    Attributes:
        weights: softmax weight on each slot of each layer, mean over heads and tokens; a forward adds it.
        num_tokens: how many of the segment's newest tokens are observed.
    """

    weights: Float[Tensor, "layers slots"]
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stream's new tokens in a packed forward.

    Attributes:
        cache: the stream's memory. Unless the segment leaves nothing, ``append`` has reserved its slots.
        embeddings: of the new tokens.
        positions: of the new tokens, in host memory.
        probe: given, the segment reads the memory and leaves nothing in it.
        observation: given, collects what the segment's newest tokens attend to; the segment is written as
            without it.
        recall: given, called with each layer's index and raw queries before that layer is read.
        deepstack: given, features that are added to the tokens behind each of the first decoder layers.
        branches: given, the segment is so many texts of these lengths, one behind the other, that do not see
            each other; like a probe it reads the memory and leaves nothing in it.
    """

    cache: KeysAndValues
    embeddings: Float[Tensor, "tokens hidden"]
    positions: Int[Tensor, "axes tokens"]
    probe: Probe | None = None
    observation: Observation | None = None
    recall: Callable[[int, Tensor], None] | None = None
    deepstack: Float[Tensor, "levels tokens hidden"] | None = None
    branches: tuple[int, ...] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether all it wants is to be written and to read."""
        return not (self.probe or self.observation or self.recall or self.branches)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    """What the attention needs of a packed forward, and the layer that ends it, if one does."""

    segments: Sequence[Segment]
    slots: Sequence[slice]
    cos: Float[Tensor, "tokens head_dim"]
    signed_sin: Float[Tensor, "tokens head_dim"]
    masks: Masks
    ends_in: int | None
    batch: SegmentBatch | None


class Enough(Exception):  # noqa: N818 - nothing is wrong
    """All that a forward is for is done: what is left of it would be read by nobody."""


def register() -> None:
    """Make the attention known to transformers under its name; safe to repeat."""
    from transformers import (
        AttentionInterface,  # takes seconds, which a question whether a file is there need not
    )

    AttentionInterface.register(ATTENTION_NAME, hermes_attention)


def forward(
    decoder: nn.Module, segments: Sequence[Segment], *, wants_hidden: bool = True
) -> list[Float[Tensor, "tokens hidden"]]:
    """Run segments of one or several streams through the decoder in one forward.

    Args:
        decoder: transformers' text model, set to the ``hermes`` attention.
        segments: at least one; probes may share a stream with each other.
        wants_hidden: return the last hidden states of each segment; else nothing, and the forward ends
            where the last layer has stored its keys and values.
    """
    layout = segments[0].cache.layout
    lengths = [len(segment.embeddings) for segment in segments]
    positions = torch.cat([segment.positions for segment in segments], dim=1).to(layout.device)
    cos, sin = layout.rotary.cos_sin(positions)
    cos, sin = cos.to(layout.dtype), signed(sin.to(layout.dtype))
    # What offloads a layer's weights wants to see every layer's end.
    ends_in = None if wants_hidden or layout.layer_devices else layout.num_layers - 1
    batch = SegmentBatch.of([one.cache if one.is_plain else None for one in segments], lengths)
    packed = _Packed(
        segments=segments,
        slots=[slice(end - length, end) for end, length in zip(accumulate(lengths), lengths, strict=True)],
        cos=cos,
        signed_sin=sin,
        masks=Masks(),
        ends_in=ends_in,
        batch=batch,
    )
    embeddings = torch.cat([segment.embeddings for segment in segments])
    try:
        output = decoder(
            inputs_embeds=embeddings[None],
            # At position 0 the model rotates by nothing, so that queries and keys reach the attention raw.
            position_ids=torch.zeros_like(positions[:1]),
            use_cache=False,
            # transformers hands keywords that it does not know down to the attention function.
            packed=packed,
            **_deepstack(segments, layout.device),
        )
    except Enough:
        return []
    return list(output.last_hidden_state[0].split(lengths))


def _deepstack(segments: Sequence[Segment], device: torch.device) -> dict[str, Any]:
    """Return what the decoder adds behind its first layers, and to which tokens; nothing in most families."""
    stacks = [segment.deepstack for segment in segments if segment.deepstack is not None]
    if not stacks:
        return {}
    shown = [torch.full((len(s.embeddings),), s.deepstack is not None) for s in segments]
    return {
        "visual_pos_masks": torch.cat(shown)[None].to(device),
        "deepstack_visual_embeds": list(torch.cat(stacks, dim=1)),
    }


def hermes_attention(
    module: nn.Module,
    query: Float[Tensor, "one heads tokens head_dim"],
    key: Float[Tensor, "one kv_heads tokens head_dim"],
    value: Float[Tensor, "one kv_heads tokens head_dim"],
    attention_mask: Tensor | None,  # noqa: ARG001
    *,
    scaling: float,
    packed: _Packed | FixedText,
    **_: Any,
) -> tuple[Float[Tensor, "one tokens heads head_dim"], None]:
    """Attend each segment to its own stream: what the stream remembers, then itself, causally.

    Queries and keys arrive before rotation. A segment's keys and values are written to its stream in place;
    a probe's are dropped after use.
    """
    layer_idx: int = module.layer_idx  # type: ignore[assignment]
    cos, sin = packed.cos.to(query.device), packed.signed_sin.to(query.device)
    queries, rotated = turn(torch.cat((query[0], key[0])), cos, sin).split((query.shape[1], key.shape[1]))
    if isinstance(packed, FixedText):
        output = attend_fixed(packed, layer_idx, queries, rotated=rotated, values=value[0], scaling=scaling)
        return output, None
    masks, batch, outputs = packed.masks, packed.batch, list[Tensor]()
    new = {"raw_keys": key[0], "rotated_keys": rotated, "values": value[0]}
    together = _together(packed, layer_idx, queries, new, scaling=scaling)
    if -1 in together:
        return together[-1].transpose(0, 1)[None], None
    for index, (segment, slots) in enumerate(zip(packed.segments, packed.slots, strict=True)):
        own_queries = queries[:, slots]
        if index in together:
            outputs.append(together[index])
            continue
        if segment.probe is not None and layer_idx > max(segment.probe.layers, default=-1):
            outputs.append(torch.zeros_like(own_queries))  # no layer reads any more what the prompt becomes
            continue
        if segment.probe is not None or segment.branches is not None:
            own = {"keys": rotated[:, slots], "values": value[0, :, slots]}
            attend = _probe if segment.probe is not None else _attend_branches
            held = _with_own(segment.cache, layer_idx, **own)
            outputs.append(attend(segment, layer_idx, own_queries, **held, masks=masks, scaling=scaling))
            continue
        if segment.recall is not None:
            # Before the question's own keys are stored: what it recalls is laid out in front of them.
            segment.recall(layer_idx, query[0][:, slots])
        if batch is None or index not in batch.lengths:
            segment.cache.store(layer_idx, **{name: one[:, slots] for name, one in new.items()})
        keys, values = segment.cache.rotated_keys(layer_idx), segment.cache.values(layer_idx)
        if segment.observation is not None:
            _observe(segment.observation, layer_idx, own_queries, keys, masks=masks, scaling=scaling)
        if layer_idx == packed.ends_in:
            continue
        # The new tokens are the last slots: a causal mask must end in the lower right corner.
        mask = masks.causal(own_queries, keys.shape[1])
        outputs.append(_attend(own_queries, keys, values, mask, scaling=scaling))
    if layer_idx == packed.ends_in:
        raise Enough
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
    return output.transpose(0, 1)[None], None


def _together(
    packed: _Packed,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    new: dict[str, Float[Tensor, "kv_heads tokens head_dim"]],
    *,
    scaling: float,
) -> dict[int, Tensor]:
    """Write the segments of streams that lie in one block, and return what is read of them at once."""
    if packed.batch is None:
        return {}
    packed.batch.write(layer_idx, torch.stack(list(new.values())))
    if layer_idx == packed.ends_in:
        return {}
    return packed.batch.read(layer_idx, queries, scaling=scaling)


def _attend(
    queries: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "kv_heads held head_dim"],
    values: Float[Tensor, "kv_heads held head_dim"],
    mask: Tensor | None,
    *,
    scaling: float,
) -> Float[Tensor, "heads tokens head_dim"]:
    return F.scaled_dot_product_attention(
        queries[None], keys[None], values[None], attn_mask=mask, scale=scaling, enable_gqa=True
    )[0]


def _with_own(
    cache: KeysAndValues,
    layer_idx: int,
    *,
    keys: Float[Tensor, "kv_heads tokens head_dim"],
    values: Float[Tensor, "kv_heads tokens head_dim"],
) -> dict[str, Float[Tensor, "kv_heads held head_dim"]]:
    """Return what a stream holds and, behind it, the keys and values of a text that leaves nothing."""
    return {
        "keys": torch.cat((cache.rotated_keys(layer_idx), keys), dim=1),
        "values": torch.cat((cache.values(layer_idx), values), dim=1),
    }


def _attend_branches(
    segment: Segment,
    layer_idx: int,  # noqa: ARG001
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    keys: Float[Tensor, "kv_heads held head_dim"],
    values: Float[Tensor, "kv_heads held head_dim"],
    masks: Masks,
    scaling: float,
) -> Float[Tensor, "heads tokens head_dim"]:
    """Attend each branch to the memory and, causally, to itself. What is remembered is read once for all."""
    assert segment.branches is not None
    seen = masks.branches(queries, keys.shape[1] - queries.shape[1], segment.branches)
    return _attend(queries, keys, values, seen, scaling=scaling)


def _weights(
    queries: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "kv_heads held head_dim"],
    *,
    masks: Masks,
    scaling: float,
) -> Iterator[Float[Tensor, "kv_heads rows held"]]:
    """Yield the softmax weights in float32, of some of the tokens at a time; rows are heads, then tokens.

    Args:
        queries: of tokens whose keys are the last ones held.
        keys: of all that they see.
        masks: of the forward.
        scaling: of scores.
    """
    heads, count, width = queries.shape
    num_kv_heads, held = keys.shape[:2]
    most = max(1, _MAX_WEIGHT_BYTES // (4 * heads * held))
    hidden = masks.later(queries)
    for part, rows in zip(queries.split(most, dim=1), hidden.split(most), strict=True):
        # One product for each head of keys: its group of query heads side by side.
        scores = (part * scaling).reshape(num_kv_heads, -1, width) @ keys.mT
        scores.view(num_kv_heads, -1, len(rows), held)[..., held - count :].add_(rows)
        yield scores.softmax(dim=-1, dtype=torch.float32)


def _observe(
    observation: Observation,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "kv_heads held head_dim"],
    *,
    masks: Masks,
    scaling: float,
) -> None:
    """Add up the weight that the newest tokens put on each slot."""
    queries, collected = queries[:, -observation.num_tokens :], observation.weights
    for weights in _weights(queries, keys, masks=masks, scaling=scaling):
        _collect(collected[layer_idx], weights, num_queries=queries.shape[0] * queries.shape[1])


def _probe(
    segment: Segment,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    keys: Float[Tensor, "kv_heads held head_dim"],
    values: Float[Tensor, "kv_heads held head_dim"],
    masks: Masks,
    scaling: float,
) -> Float[Tensor, "heads tokens head_dim"]:
    """Attend a guidance prompt to memory and itself; add up the weight on each slot of the memory.

    Weights are made only in layers that are read.
    """
    assert segment.probe is not None
    heads, count, width = queries.shape
    if layer_idx not in segment.probe.layers:
        return _attend(queries, keys, values, masks.causal(queries, keys.shape[1]), scaling=scaling)
    outputs: list[Tensor] = []
    for weights in _weights(queries, keys, masks=masks, scaling=scaling):
        _collect(segment.probe.weights[layer_idx], weights[..., :-count], num_queries=heads * count)
        outputs.append((weights.to(values.dtype) @ values).view(heads, -1, width))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _collect(
    collected: Float[Tensor, " slots"], weights: Float[Tensor, "kv_heads rows held"], *, num_queries: int
) -> None:
    """Add the mean over all heads and tokens of a text to what is collected of a layer."""
    total = weights.sum(dim=(0, 1)).to(collected.device)
    collected[: len(total)].add_(total, alpha=1 / num_queries)
