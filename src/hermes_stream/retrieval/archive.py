"""What a stream's cache has forgotten, in host memory, grouped so that it can be found again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.selection import evicted_mask
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.retrieval.groups import Groups
from hermes_stream.retrieval.rules import Retrieval


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictedTokens:
    """Tokens on their way from cache to archive, copied to the host already, and the groups with them."""

    raw_keys: list[Tensor]
    values: list[Tensor]
    places: list[Tensor]
    groups: list[Groups]
    frames: Int[Tensor, " tokens"]
    seconds: Float[Tensor, " tokens"]


class Archive:
    """Holds raw keys and values of every layer in the order of the stream; all layers hold the same tokens.

    Buffers double when they are full. Where the archive is bounded they stop growing.

    Args:
        layout: the model's shape.
        retrieval: how tokens are grouped, and what a bounded archive keeps.

    Attributes:
        num_tokens: tokens that each layer holds.
        groups: of each layer, on the model's device.
    """

    def __init__(self, layout: CacheLayout, retrieval: Retrieval) -> None:
        self._layout, self._retrieval = layout, retrieval
        self.num_tokens = 0
        none = retrieval.no_groups(layout.num_kv_heads, layout.head_dim, layout.device)
        self.groups = [none] * layout.num_layers
        self._rows = none.counts.shape[0]
        self._allocate(0)

    def _allocate(self, capacity: int) -> None:
        layout, pin = self._layout, self._layout.device.type == "cuda"
        shape = (layout.num_kv_heads, capacity, layout.head_dim)
        layers = range(layout.num_layers)
        self._raw_keys = [torch.zeros(shape, dtype=layout.dtype, pin_memory=pin) for _ in layers]
        self._values = [torch.zeros(shape, dtype=layout.dtype, pin_memory=pin) for _ in layers]
        self._places = [torch.zeros(self._rows, capacity, dtype=torch.int32) for _ in layers]
        self._frames = torch.zeros(capacity, dtype=torch.long)
        self._seconds = torch.zeros(capacity, dtype=torch.float64)

    def _tensors(self) -> list[Tensor]:
        return [*self._raw_keys, *self._values, *self._places, self._frames, self._seconds]

    @property
    def num_bytes(self) -> int:
        """Bytes of host memory, used or not."""
        return sum(tensor.nbytes for tensor in self._tensors())

    def places(self, layer: int) -> Int[Tensor, "rows tokens"]:
        """Return which group each token of a layer belongs to (a view)."""
        return self._places[layer][:, : self.num_tokens]

    @property
    def temporal_patch_ids(self) -> Int[Tensor, " tokens"]:
        """Which frame each token came from (a view)."""
        return self._frames[: self.num_tokens]

    @property
    def pts_seconds(self) -> Float[Tensor, " tokens"]:
        """Time of that frame (a view)."""
        return self._seconds[: self.num_tokens]

    def read(
        self, layer: int, index: Int[Tensor, " chosen"]
    ) -> tuple[Float[Tensor, "kv_heads chosen head_dim"], Float[Tensor, "kv_heads chosen head_dim"]]:
        """Copy raw keys and values of some tokens to the model's device."""
        device = self._layout.device
        return self._raw_keys[layer][:, index].to(device), self._values[layer][:, index].to(device)

    def receive(self, cache: StreamCache, plan: RetentionPlan) -> EvictedTokens:
        """Copy what a plan evicts, before it is applied; nothing changes until ``commit``.

        Raises:
            ValueError: layers evict different tokens.
        """
        state = cache.state(shows_keys=True, shows_values=True)
        evicted = evicted_mask(plan.keep, state.present)
        if not (evicted == evicted[:1]).all():
            raise ValueError("a policy with an archive must evict the same tokens in all layers")
        index = evicted[0].nonzero()[:, 0]
        frames = state.temporal_patch_ids[0, index]
        raw_keys, values, places, groups = [], [], [], []
        assert state.raw_keys is not None
        assert state.values is not None
        for layer in range(self._layout.num_layers):
            keys = state.raw_keys[layer][:, index]
            place, joined = self._retrieval.join(self._retrieval.rows(keys), frames, self.groups[layer])
            raw_keys.append(keys.cpu())
            values.append(state.values[layer][:, index].cpu())
            places.append(place.int().cpu())
            groups.append(joined)
        if self.num_tokens + len(index) > len(self._frames):
            self._grow(self.num_tokens + len(index))
        return EvictedTokens(
            raw_keys=raw_keys,
            values=values,
            places=places,
            groups=groups,
            frames=frames.cpu(),
            seconds=state.pts_seconds[0, index].cpu(),
        )

    def _grow(self, needed: int) -> None:
        old = self._tensors()
        self._allocate(max(2 * len(self._frames), needed))
        for tensor, grown in zip(old, self._tensors(), strict=True):
            axis = 0 if tensor.dim() == 1 else 1
            grown.narrow(axis, 0, tensor.shape[axis]).copy_(tensor)

    def commit(self, leaving: EvictedTokens) -> None:
        """Take in what left the cache, and forget what a bounded archive has no room for."""
        end = self.num_tokens + len(leaving.frames)
        self._frames[self.num_tokens : end] = leaving.frames
        self._seconds[self.num_tokens : end] = leaving.seconds
        new = (leaving.raw_keys, leaving.values, leaving.places)
        for buffers, parts in zip((self._raw_keys, self._values, self._places), new, strict=True):
            for buffer, part in zip(buffers, parts, strict=True):
                buffer[:, self.num_tokens : end] = part
        self.groups, self.num_tokens = leaving.groups, end
        bound = self._retrieval.archive_tokens
        if bound is not None and end > bound:
            self._thin()

    def _thin(self) -> None:
        keep = self._retrieval.thin(self._state()).keep[0]
        is_gone = torch.ones(self.num_tokens, dtype=torch.bool).index_fill(0, keep, False)
        gone, device = is_gone.nonzero()[:, 0], self._layout.device
        for layer, groups in enumerate(self.groups):
            places = self.places(layer).long().to(device)
            rows = self._retrieval.rows(self.read(layer, gone)[0])
            left = groups.left_by(rows, places[:, gone.to(device)])
            self.groups[layer], places = left.packed(places[:, keep.to(device)])
            self._places[layer][:, : len(keep)] = places.int().cpu()
            for buffer in (self._raw_keys[layer], self._values[layer]):
                buffer[:, : len(keep)] = buffer[:, keep]
        self._frames[: len(keep)] = self._frames[keep]
        self._seconds[: len(keep)] = self._seconds[keep]
        self.num_tokens = len(keep)

    def _state(self) -> MemoryState:
        """Show what the archive holds as a memory of one layer."""
        frames = self._frames[None, : self.num_tokens]
        return MemoryState(
            num_prefix_tokens=0,
            token_ids=torch.arange(self.num_tokens)[None],
            temporal_patch_ids=frames,
            pts_seconds=frames.double(),
            counts=torch.ones_like(frames),
        )
