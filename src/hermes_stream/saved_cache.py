"""A cache's state: out of it, and back into one made alike."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from hermes_stream.cache import StreamCache
from hermes_stream.errors import SnapshotError
from hermes_stream.mark import Mark
from hermes_stream.saved import Saved

_MAX_POSITION = 2**31
_MAX_SECONDS = 1e11
_LEAST = {"positions": -_MAX_POSITION, "pts_seconds": -_MAX_SECONDS, "counts": 0}
_MOST = {"positions": _MAX_POSITION, "pts_seconds": _MAX_SECONDS}


def saved_cache(cache: StreamCache) -> Saved:
    """Return the tokens of a cache; rotated keys are made again of raw keys and positions.

    Raises:
        ValueError: a question is in the cache.
    """
    mark = cache.mark()
    if list(mark.lengths) != [cache.num_prefix_tokens + count for count in mark.num_visual]:
        raise ValueError("the memory cannot be saved while a question is in it; rewind it first")
    width = max(mark.lengths)
    return Saved(
        tensors={name: record[..., :width] for name, record in cache.records.items()},
        values={
            **asdict(mark),
            "num_compressions": cache.num_compressions,
            "layers_alike": cache.layers_alike,
        },
        parts={"buffers": cache.buffers.saved(mark.lengths)},
    )


def restore_cache(cache: StreamCache, saved: Saved) -> None:
    """Fill a cache with another one's tokens.

    Args:
        cache: of the same layout, prefix and capacities.
        saved: what ``saved_cache`` returned.

    Raises:
        SnapshotError: what was saved does not fit the cache, or contradicts itself.
    """
    mark = _mark(cache, saved)
    width = max(mark.lengths)
    cache.adopt(mark, saved.integer("num_compressions"))
    for name, record in cache.records.items():
        record[..., :width] = saved.tensor(
            name,
            dtype=record.dtype,
            shape=(*record.shape[:-1], width),
            least=_LEAST.get(name, -1),
            most=_MOST.get(name),
        )
    _check_order(cache, mark)
    cache.count_grid()
    cache.layers_alike = _layers_alike(cache, saved)
    cache.buffers.restore(saved.part("buffers"), mark.lengths)
    cache.buffers.rotate(cache.records["positions"][..., :width])


def _mark(cache: StreamCache, saved: Saved) -> Mark:
    num_layers, num_prefix = cache.layout.num_layers, cache.num_prefix_tokens
    read: dict[str, Any] = {}
    for field in fields(Mark):
        if field.name in ("lengths", "num_visual"):
            read[field.name] = tuple(saved.integers(field.name, num_layers, most=_MAX_POSITION))
        else:
            read[field.name] = saved.integer(field.name)
    mark = Mark(**read)
    if list(mark.lengths) != [num_prefix + count for count in mark.num_visual]:
        raise SnapshotError(
            f"{saved.path}lengths are {list(mark.lengths)}, and must be those of num_visual and a prefix of "
            f"{num_prefix} tokens; the snapshot is damaged, take an older one"
        )
    capacities = cache.buffers.capacities
    room = [cache.layout.max_positions] * num_layers if cache.growable else capacities
    if any(length > slots for length, slots in zip(mark.lengths, room, strict=True)):
        raise SnapshotError(
            f"{saved.path}lengths are {list(mark.lengths)}, and the layers have {list(room)} slots; the "
            "snapshot is damaged, take an older one"
        )
    return mark


def _check_order(cache: StreamCache, mark: Mark) -> None:
    """Check what policies rely on: ids that ascend within a layer, and are used once."""
    ids = cache.records["token_ids"]
    for layer in range(cache.layout.num_layers):
        own = ids[layer, cache.visual_slots(layer)]
        if len(own) and (
            int(own[0]) < 0 or int(own[-1]) >= mark.next_token_id or bool((own.diff() <= 0).any())
        ):
            raise SnapshotError(
                f"the token_ids of layer {layer} do not ascend from 0 to below {mark.next_token_id}; the "
                "snapshot is damaged, take an older one"
            )


def _layers_alike(cache: StreamCache, saved: Saved) -> bool:
    """Return whether layers were known to hold the same tokens, which what was saved must bear out."""
    is_known = saved.boolean("layers_alike")
    ids = cache.records["token_ids"][:, : max(cache.num_tokens)]
    if is_known and (len(set(cache.num_tokens)) > 1 or bool((ids != ids[:1]).any())):
        raise SnapshotError(
            f"{saved.path}layers_alike says that all layers hold the same tokens, and they do not; the "
            "snapshot is damaged, take an older one"
        )
    return is_known
