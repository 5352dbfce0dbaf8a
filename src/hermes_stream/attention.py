"""The attention that owns the memory: it writes raw keys to streams' caches, reads them, and rotates.

It is registered with transformers under the name ``hermes`` and receives the segments of a packed forward as
the keyword ``segments``. The model is called without a cache of its own and with all positions 0, so that its
rotation is the identity; positions are given here. Several streams, of any lengths, share one forward: each
segment sees its own stream only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hermes_stream import attention_kernels as kernels
from hermes_stream.attention_weights import observe, probe, read, weigh_with_probes
from hermes_stream.cache import StreamCache
from hermes_stream.fixed_text import FixedText, attend_fixed
from hermes_stream.masks import Masks
from hermes_stream.memory.rope import turn
from hermes_stream.packed import Packed
from hermes_stream.segments import KeysAndValues, Segment

ATTENTION_NAME = "hermes"


class Enough(Exception):  # noqa: N818 - nothing is wrong
    """All that a forward is for is done: what is left of it would be read by nobody."""


def register() -> None:
    """Make the attention known to transformers under its name; safe to repeat."""
    from transformers import (
        AttentionInterface,  # takes seconds, which a question whether a file is there need not
    )

    AttentionInterface.register(ATTENTION_NAME, hermes_attention)


def forward(
    decoder: nn.Module, segments: Sequence[Segment], *, wants_hidden: bool = True, all_stay: bool = False
) -> list[Float[Tensor, "tokens hidden"]]:
    """Run segments of one or several streams through the decoder in one forward.

    Args:
        decoder: transformers' text model, set to the ``hermes`` attention.
        segments: at least one; probes may share a stream with each other.
        wants_hidden: return the last hidden states of each segment; else nothing, and the forward ends
            where the last layer has stored its keys and values, and a prompt leaves it behind the last layer
            that listens to it.
        all_stay: no prompt leaves, for who gives layers what they read.
    """
    packed = Packed.of(segments, wants_hidden=wants_hidden, all_stay=all_stay)
    embeddings = torch.cat([segment.embeddings for segment in segments])
    try:
        with packed.leaving(decoder):
            output = decoder(
                inputs_embeds=embeddings[None],
                # At position 0 the model rotates by nothing: queries and keys reach the attention raw.
                position_ids=torch.zeros(1, len(embeddings), dtype=torch.long, device=embeddings.device),
                use_cache=False,
                # transformers hands keywords that it does not know down to the attention function.
                packed=packed,
                **_deepstack(segments),
            )
    except Enough:
        return []
    return list(output.last_hidden_state[0].split([len(segment.embeddings) for segment in segments]))


def _deepstack(segments: Sequence[Segment]) -> dict[str, Any]:
    """Return what the decoder adds to tokens behind its first layers; nothing in most families."""
    given = next((segment.deepstack for segment in segments if segment.deepstack is not None), None)
    if given is None:
        return {}
    levels, _, width = given.shape
    stacks = [
        given.new_zeros(levels, len(one.embeddings), width) if one.deepstack is None else one.deepstack
        for one in segments
    ]
    # To all tokens, zeros to text: which they are need not be looked for, see ``fuse_deepstack``.
    count = sum(len(one.embeddings) for one in segments)
    return {
        "visual_pos_masks": torch.ones(1, count, dtype=torch.bool, device=given.device),
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
    packed: Packed | FixedText,
    **_: Any,
) -> tuple[Float[Tensor, "one tokens heads head_dim"], None]:
    """Attend as ``attend`` does, called by transformers. Queries and keys arrive before rotation."""
    raw = torch.cat((query[0], key[0]))
    return attend(packed, module.layer_idx, raw, value[0], scaling=scaling), None  # type: ignore[arg-type]


def attend(
    packed: Packed | FixedText,
    layer_idx: int,
    raw: Float[Tensor, "heads_and_kv_heads tokens head_dim"],
    values: Float[Tensor, "kv_heads tokens head_dim"],
    *,
    scaling: float,
) -> Float[Tensor, "one tokens heads head_dim"]:
    """Attend each segment to its own stream: what the stream remembers, then itself, causally.

    A segment's keys and values are written to its stream in place; a probe's are dropped after use.

    Args:
        packed: the forward's segments.
        layer_idx: of the layer.
        raw: queries, and behind them keys, before rotation.
        values: of the tokens.
        scaling: of scores.
    """
    if isinstance(packed, Packed):
        packed = packed.in_layer(layer_idx)
    cos, sin = packed.cos.to(raw.device), packed.signed_sin.to(raw.device)
    # by shape: len() of a tensor is a call into Python
    num_kv_heads = values.shape[0]
    num_heads = raw.shape[0] - num_kv_heads
    queries, rotated = turn(raw, cos, sin).split((num_heads, num_kv_heads))
    if isinstance(packed, FixedText):
        return attend_fixed(packed, layer_idx, queries, keys=rotated, values=values, scaling=scaling)
    fresh = {"raw_keys": raw[num_heads:], "rotated_keys": rotated, "values": values}
    together = _together(packed, layer_idx, queries, fresh, scaling=scaling)
    if -1 in together:
        return together[-1].transpose(0, 1)[None]
    outputs = _one_by_one(
        packed, layer_idx, raw[:num_heads], queries, fresh=fresh, together=together, scaling=scaling
    )
    if layer_idx == packed.ends_in:
        raise Enough
    if len(outputs) == 1:
        return outputs[0].transpose(0, 1)[None]
    # tokens first, as the model goes on with them: it need not lay them out anew
    return torch.cat([part.transpose(0, 1) for part in outputs])[None]


def _one_by_one(
    packed: Packed,
    layer_idx: int,
    raw_queries: Float[Tensor, "heads tokens head_dim"],
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    fresh: dict[str, Float[Tensor, "kv_heads tokens head_dim"]],
    together: dict[int, Tensor],
    scaling: float,
) -> list[Float[Tensor, "heads some_tokens head_dim"]]:
    """Store and read what was not ``together``, segment by segment; in the layer that ends it, only store."""
    masks, outputs, num_done = packed.masks, list[Tensor](), 0
    is_last, written = layer_idx == packed.ends_in, packed.batch.lengths if packed.batch else {}
    for index, (segment, place) in enumerate(zip(packed.segments, packed.places, strict=True)):
        if num_done or index in together:
            outputs += [] if num_done else [together[index]]  # else attended with one before
            num_done = max(0, num_done - 1)
            continue
        own_queries, cache = queries[:, place.tokens], segment.cache
        if segment.recall is not None:
            # Before the question's own keys are stored: what it recalls is laid out in front of them.
            segment.recall(layer_idx, raw_queries[:, place.tokens])
        if (new := place.stored) is not None and index not in written:
            stored = {name: one[:, new] for name, one in fresh.items()}
            _store(segment, layer_idx, **stored, behind=new.stop - place.tokens.stop)
        if segment.observation is not None:
            keys = cache.rotated_keys(layer_idx)
            observe(segment.observation, layer_idx, own_queries, keys, masks=masks, scaling=scaling)
        start, prompts = packed.read_as_one(index, layer_idx, queries.shape[0])
        if is_last and not prompts and (segment.probe is None or layer_idx not in segment.probe.layers):
            continue
        if segment.probe is not None or segment.branches is not None:
            keys, values = (fresh[name][:, place.tokens] for name in ("rotated_keys", "values"))
            attend_own = _attend_branches if segment.probe is None else partial(_attend_probe, place.hidden)
            own = attend_own(
                segment, layer_idx, own_queries, keys=keys, values=values, masks=masks, scaling=scaling
            )
            outputs.append(own)
            continue
        num_done, stop = len(prompts), place.tokens.stop
        if start == stop and not is_last:
            if not prompts and (prompt := packed.only_reads(index + 1, layer_idx)) is not None:
                # Stored right behind it, and unseen by it as by any causal mask: one product for both.
                stop, num_done = prompt.stop, 1
            keys, values = _held(cache, layer_idx, stop - start)
            asked = queries[:, place.tokens.start : stop]
            # The new tokens are the last slots: a causal mask must end in the lower right corner.
            mask = masks.causal(asked, keys.shape[1])
            outputs.append(_attend(asked, keys, values, mask, scaling=scaling))
        if prompts:
            end = prompts[-1][1].stop
            keys, values = _held(cache, layer_idx, end - place.tokens.stop)
            weigh = partial(weigh_with_probes, prompts, layer_idx, queries[:, start:end])
            weights = weigh(keys=keys, masks=masks, scaling=scaling)
            outputs += [] if is_last else [read(weights, values)]
    return outputs


def _store(
    segment: Segment,
    layer_idx: int,
    *,
    raw_keys: Float[Tensor, "kv_heads tokens head_dim"],
    rotated_keys: Float[Tensor, "kv_heads tokens head_dim"],
    values: Float[Tensor, "kv_heads tokens head_dim"],
    behind: int,
) -> None:
    """Fill the slots that were reserved for a segment, and those behind them with what probes need."""
    cache, new = segment.cache, {"raw_keys": raw_keys, "rotated_keys": rotated_keys, "values": values}
    if segment.probe is not None:
        behind = raw_keys.shape[1]  # nothing was reserved
    if behind:
        assert isinstance(cache, StreamCache)
        cache.store(layer_idx, **new, behind=behind)
    else:
        cache.store(layer_idx, **new)


def _together(
    packed: Packed,
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
    return kernels.attend(queries[None], keys[None], values[None], mask, scaling=scaling)[0]


def _with_own(
    cache: KeysAndValues,
    layer_idx: int,
    *,
    keys: Float[Tensor, "kv_heads tokens head_dim"],
    values: Float[Tensor, "kv_heads tokens head_dim"],
) -> tuple[Float[Tensor, "kv_heads held head_dim"], Float[Tensor, "kv_heads held head_dim"]]:
    """Return what a stream holds and, behind it, the keys and values of a text that leaves nothing."""
    held = cache.rotated_keys(layer_idx), cache.values(layer_idx)
    return torch.cat((held[0], keys), dim=1), torch.cat((held[1], values), dim=1)


def _attend_branches(
    segment: Segment,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    keys: Float[Tensor, "kv_heads tokens head_dim"],
    values: Float[Tensor, "kv_heads tokens head_dim"],
    masks: Masks,
    scaling: float,
) -> Float[Tensor, "heads tokens head_dim"]:
    """Attend each branch to the memory and, causally, to itself. What is remembered is read once for all."""
    assert segment.branches is not None
    keys, values = _with_own(segment.cache, layer_idx, keys=keys, values=values)
    held = keys.shape[1] - queries.shape[1]
    seen = masks.branches(queries, held, segment.branches)
    if segment.sees is not None:
        branch = masks.branch_of_token(queries, segment.branches)
        own = segment.sees[layer_idx, :, :held].to(queries.device)[branch]
        seen = torch.cat([own, seen[:, held:]], dim=1)
    return _attend(queries, keys, values, seen, scaling=scaling)


def _attend_probe(
    hidden: int | None,
    segment: Segment,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    keys: Float[Tensor, "kv_heads tokens head_dim"],
    values: Float[Tensor, "kv_heads tokens head_dim"],
    masks: Masks,
    scaling: float,
) -> Float[Tensor, "heads tokens head_dim"]:
    """Attend a guidance prompt to memory and itself; weights are made only in layers that are read."""
    assert segment.probe is not None
    cache, behind = segment.cache, (hidden or 0) + queries.shape[1]
    if layer_idx > segment.probe.last_layer:
        return masks.nothing(queries)
    if hidden is None:
        keys, values = _with_own(cache, layer_idx, keys=keys, values=values)
    else:
        keys, values = _held(cache, layer_idx, behind)
    if layer_idx in segment.probe.layers:
        collected = segment.probe.weights[layer_idx]
        return probe(collected, queries, keys, values, num_hidden=hidden or 0, masks=masks, scaling=scaling)
    held = keys.shape[1]
    mask = masks.beside(queries, held, hidden) if hidden else masks.causal(queries, held)
    return _attend(queries, keys, values, mask, scaling=scaling)


def _held(cache: KeysAndValues, layer_idx: int, behind: int) -> tuple[Tensor, Tensor]:
    """Return keys and values that a layer holds, and those in so many slots behind them."""
    if not behind:
        return cache.rotated_keys(layer_idx), cache.values(layer_idx)
    assert isinstance(cache, StreamCache)
    return cache.rotated_keys(layer_idx, behind), cache.values(layer_idx, behind)
