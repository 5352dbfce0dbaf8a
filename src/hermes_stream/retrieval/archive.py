"""What a stream's cache has evicted, in host memory, grouped so that it can be found again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.last_step import Uninterrupted
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.constants import sent
from hermes_stream.memory.selection import evicted_mask
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.asked import plan_of
from hermes_stream.policies.base import RetrievalSpec
from hermes_stream.retrieval.grouping import grouper_of
from hermes_stream.retrieval.groups import Groups
from hermes_stream.saved import Saved

_MAX_TOKENS = 2**40


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
        self._no_groups = self.grouper.no_groups(layout.num_kv_heads, layout.head_dim, layout.device)
        self.groups = [self._no_groups] * layout.num_layers
        self._num_rows = self._no_groups.counts.shape[0]
        self._allocate(0)

    def _allocate(self, capacity: int) -> None:
        layout, pin = self._layout, self._layout.device.type == "cuda"
        shape = (layout.num_kv_heads, capacity, layout.head_dim)
        layers = range(layout.num_layers)
        keys_and_values = [
            [torch.zeros(shape, dtype=layout.dtype, pin_memory=pin) for _ in layers] for _ in range(2)
        ]
        groups_of_tokens = [torch.zeros(self._num_rows, capacity, dtype=torch.int32) for _ in layers]
        patch_ids = torch.zeros(capacity, dtype=torch.long)
        seconds = torch.zeros(capacity, dtype=torch.float64)
        # All or none: where there is no room for some, what was there stays.
        self._raw_keys, self._values = keys_and_values
        self._groups_of_tokens, self._patch_ids, self._seconds = groups_of_tokens, patch_ids, seconds

    def _tensors(self) -> dict[str, Tensor]:
        """Return all buffers by name; tokens lie along axis 1, or 0 where there is no other."""
        per_layer = {
            "raw_keys": self._raw_keys,
            "values": self._values,
            "groups_of_tokens": self._groups_of_tokens,
        }
        named = {f"{name}.{k}": one for name, own in per_layer.items() for k, one in enumerate(own)}
        return {**named, "temporal_patch_ids": self._patch_ids, "pts_seconds": self._seconds}

    @property
    def num_bytes(self) -> int:
        """Bytes of host memory, used or not."""
        return sum(tensor.nbytes for tensor in self._tensors().values())

    def saved(self) -> Saved:
        """Return all tokens and their groups."""
        return Saved(
            tensors={name: _first(one, self.num_tokens) for name, one in self._tensors().items()},
            values={"num_tokens": self.num_tokens},
            parts={f"groups.{layer}": groups.saved() for layer, groups in enumerate(self.groups)},
        )

    def restore(self, saved: Saved) -> None:
        """Take in what another archive held, made for the same layout and spec.

        Raises:
            SnapshotError: what was saved does not fit, or contradicts itself.
        """
        self.num_tokens = saved.integer("num_tokens", most=_MAX_TOKENS)
        # before anything is allocated for them: a file may say any number
        saved.tensor("temporal_patch_ids", dtype=torch.long, shape=(self.num_tokens,))
        self._allocate(self.num_tokens)
        for name, tensor in self._tensors().items():
            tensor.copy_(saved.tensor(name, dtype=tensor.dtype, shape=tuple(tensor.shape)))
        self.groups = [
            self._no_groups.restored(saved.part(f"groups.{k}")) for k in range(self._layout.num_layers)
        ]
        for layer, groups in enumerate(self.groups):
            saved.tensor(
                f"groups_of_tokens.{layer}",
                dtype=torch.int32,
                shape=(self._num_rows, self.num_tokens),
                least=0,
                most=groups.counts.shape[1] - 1,
            )

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
        # What is gathered is pageable, though the archive is pinned: for that the host would wait.
        held = (self._raw_keys[layer_idx], self._values[layer_idx])
        raw_keys, values = (sent(one[:, index], self._layout.device) for one in held)
        return raw_keys, values

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
        with Uninterrupted():
            self._allocate(max(2 * len(self._patch_ids), needed))
            for name, grown in self._tensors().items():
                _first(grown, len(old["temporal_patch_ids"])).copy_(old[name])

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
            keep = plan_of(self._policy, self._state()).keep[0]
            self._keep(keep[keep >= 0])

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


def _first(tensor: Tensor, num_tokens: int) -> Tensor:
    """Return a view of a buffer's first tokens."""
    return tensor.narrow(0 if tensor.dim() == 1 else 1, 0, num_tokens)
