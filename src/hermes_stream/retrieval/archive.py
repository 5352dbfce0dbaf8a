"""What a stream's cache has evicted, in host memory, grouped so that it can be found again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.selection import evicted_mask
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import RetrievalSpec
from hermes_stream.retrieval.grouping import grouper_of
from hermes_stream.retrieval.groups import Groups


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictedTokens:
    """Tokens on their way from cache to archive, copied to the host already, and the groups with them.

    Attributes:
        raw_keys: of each layer, ``[kv_heads, tokens, head_dim]``.
        values: likewise.
        group_of_token: of each layer, ``[rows, tokens]``.
        groups: of each layer, the tokens counted in.
        temporal_patch_ids: of each token.
        pts_seconds: of each token.
    """

    raw_keys: list[Tensor]
    values: list[Tensor]
    group_of_token: list[Tensor]
    groups: list[Groups]
    temporal_patch_ids: Int[Tensor, " tokens"]
    pts_seconds: Float[Tensor, " tokens"]


class Archive:
    """Holds raw keys and values of every layer in the order of the stream; all layers hold the same tokens.

    Buffers double when they are full. Where the archive is bounded they stop growing.

    Args:
        layout: the model's shape.
        spec: how tokens are grouped, and what a bounded archive keeps.

    Attributes:
        num_tokens: tokens that each layer holds.
        groups: of each layer, on the model's device.
    """

    def __init__(self, layout: CacheLayout, spec: RetrievalSpec) -> None:
        self._layout, self._policy = layout, spec.archive_policy
        self.grouper = grouper_of(spec.grouping)
        self.num_tokens = 0
        none = self.grouper.no_groups(layout.num_kv_heads, layout.head_dim, layout.device)
        self.groups = [none] * layout.num_layers
        self._num_rows = none.counts.shape[0]
        self._allocate(0)

    def _allocate(self, capacity: int) -> None:
        layout, pin = self._layout, self._layout.device.type == "cuda"
        shape = (layout.num_kv_heads, capacity, layout.head_dim)
        layers = range(layout.num_layers)
        self._raw_keys = [torch.zeros(shape, dtype=layout.dtype, pin_memory=pin) for _ in layers]
        self._values = [torch.zeros(shape, dtype=layout.dtype, pin_memory=pin) for _ in layers]
        self._groups_of_tokens = [torch.zeros(self._num_rows, capacity, dtype=torch.int32) for _ in layers]
        self._patch_ids = torch.zeros(capacity, dtype=torch.long)
        self._seconds = torch.zeros(capacity, dtype=torch.float64)

    def _tensors(self) -> list[Tensor]:
        return [*self._raw_keys, *self._values, *self._groups_of_tokens, self._patch_ids, self._seconds]

    @property
    def num_bytes(self) -> int:
        """Bytes of host memory, used or not."""
        return sum(tensor.nbytes for tensor in self._tensors())

    def group_of_token(self, layer_idx: int) -> Int[Tensor, "rows tokens"]:
        """Return which group each token of a layer belongs to (a view)."""
        return self._groups_of_tokens[layer_idx][:, : self.num_tokens]

    @property
    def temporal_patch_ids(self) -> Int[Tensor, " tokens"]:
        """Which temporal patch each token came from (a view)."""
        return self._patch_ids[: self.num_tokens]

    @property
    def pts_seconds(self) -> Float[Tensor, " tokens"]:
        """Time of that patch (a view)."""
        return self._seconds[: self.num_tokens]

    def read(
        self, layer_idx: int, index: Int[Tensor, " chosen"]
    ) -> tuple[Float[Tensor, "kv_heads chosen head_dim"], Float[Tensor, "kv_heads chosen head_dim"]]:
        """Copy raw keys and values of some tokens to the model's device."""
        device = self._layout.device
        return self._raw_keys[layer_idx][:, index].to(device), self._values[layer_idx][:, index].to(device)

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
        patches = state.temporal_patch_ids[0, index]
        raw_keys, values, groups_of_tokens, groups = [], [], [], []
        assert state.raw_keys is not None
        assert state.values is not None
        for layer in range(self._layout.num_layers):
            keys = state.raw_keys[layer][:, index]
            own, joined = self.grouper.join(self.grouper.rows(keys), patches, self.groups[layer])
            raw_keys.append(keys.cpu())
            values.append(state.values[layer][:, index].cpu())
            groups_of_tokens.append(own.int().cpu())
            groups.append(joined)
        if self.num_tokens + len(index) > len(self._patch_ids):
            self._grow(self.num_tokens + len(index))
        return EvictedTokens(
            raw_keys=raw_keys,
            values=values,
            group_of_token=groups_of_tokens,
            groups=groups,
            temporal_patch_ids=patches.cpu(),
            pts_seconds=state.pts_seconds[0, index].cpu(),
        )

    def _grow(self, needed: int) -> None:
        old = self._tensors()
        self._allocate(max(2 * len(self._patch_ids), needed))
        for tensor, grown in zip(old, self._tensors(), strict=True):
            axis = 0 if tensor.dim() == 1 else 1
            grown.narrow(axis, 0, tensor.shape[axis]).copy_(tensor)

    def commit(self, evicted: EvictedTokens) -> None:
        """Take in what left the cache, and forget what a bounded archive has no room for."""
        end = self.num_tokens + len(evicted.temporal_patch_ids)
        self._patch_ids[self.num_tokens : end] = evicted.temporal_patch_ids
        self._seconds[self.num_tokens : end] = evicted.pts_seconds
        new = (evicted.raw_keys, evicted.values, evicted.group_of_token)
        for buffers, parts in zip((self._raw_keys, self._values, self._groups_of_tokens), new, strict=True):
            for buffer, part in zip(buffers, parts, strict=True):
                buffer[:, self.num_tokens : end] = part
        self.groups, self.num_tokens = evicted.groups, end
        if self._policy is not None and end > (self._policy.budget_tokens or end):
            self._keep(self._policy.plan(self._state()).keep[0])

    def _keep(self, index: Int[Tensor, " kept"]) -> None:
        """Forget all but some tokens."""
        is_gone = torch.ones(self.num_tokens, dtype=torch.bool).index_fill(0, index, False)
        gone, device = is_gone.nonzero()[:, 0], self._layout.device
        for layer, groups in enumerate(self.groups):
            own = self.group_of_token(layer).long().to(device)
            rows = self.grouper.rows(self.read(layer, gone)[0])
            left = groups.left_by(rows, own[:, gone.to(device)])
            self.groups[layer], own = left.packed(own[:, index.to(device)])
            self._groups_of_tokens[layer][:, : len(index)] = own.int().cpu()
            for buffer in (self._raw_keys[layer], self._values[layer]):
                buffer[:, : len(index)] = buffer[:, index]
        self._patch_ids[: len(index)] = self._patch_ids[index]
        self._seconds[: len(index)] = self._seconds[index]
        self.num_tokens = len(index)

    def _state(self) -> MemoryState:
        """Show what the archive holds as a memory of one layer."""
        patches = self.temporal_patch_ids[None]
        return MemoryState(
            num_prefix_tokens=0,
            token_ids=torch.arange(self.num_tokens)[None],
            temporal_patch_ids=patches,
            pts_seconds=self.pts_seconds[None],
            counts=torch.ones_like(patches),
        )
