"""Retrieval at work: what leaves the cache is archived, and a question's queries bring some of it back."""

from __future__ import annotations

import time

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hermes_stream.cache import StreamCache
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import RetrievalSpec
from hermes_stream.retrieval.archive import Archive, EvictedTokens
from hermes_stream.retrieval.workspace import Workspace


class Retriever:
    """Joins a stream's cache, its archive, and the workspace that questions are answered from.

    Args:
        cache: the stream's memory; never changed here.
        spec: how tokens are grouped and chosen.
        max_positions: positions that what stands before a question may take.
        text_tokens: room for a question and its answer.

    Attributes:
        archive: what the cache evicted.
        workspace: what a question reads.
        seconds: what the last question took to choose and copy, over all layers.
    """

    def __init__(
        self, cache: StreamCache, spec: RetrievalSpec, *, max_positions: int, text_tokens: int
    ) -> None:
        self._cache, self._reads_memory = cache, spec.reads_memory
        self.archive = Archive(cache.layout, spec)
        num_context = min(cache.num_prefix_tokens + spec.read_tokens, max_positions)
        self._read_tokens = num_context - cache.num_prefix_tokens
        self.workspace = Workspace(cache.layout, num_context_tokens=num_context, text_tokens=text_tokens)
        self.seconds = 0.0
        self._chosen: list[tuple[Tensor, Tensor]] = []

    def receive(self, plan: RetentionPlan) -> EvictedTokens:
        """Copy what a plan evicts, before it is applied."""
        return self.archive.receive(self._cache, plan)

    def commit(self, evicted: EvictedTokens) -> None:
        """Archive it, after the plan was applied."""
        self.archive.commit(evicted)

    def recall(self, layer_idx: int, queries: Float[Tensor, "heads tokens head_dim"]) -> None:
        """Lay out what a question's raw queries choose in one layer, the prefix before it."""
        began = time.perf_counter()
        cache, num_prefix = self._cache, self._cache.num_prefix_tokens
        keys, values = cache.keys(layer_idx), cache.values(layer_idx)
        archived, held = self._choose(layer_idx, queries, keys[:, num_prefix:])
        self._chosen[layer_idx:] = [(archived.cpu(), held.cpu())]
        index = torch.cat([torch.arange(num_prefix, device=keys.device), held + num_prefix])
        read_keys, read_values = self.archive.read(layer_idx, archived.cpu())
        own_keys, own_values = keys[:, index], values[:, index]
        self.workspace.lay_out(
            layer_idx,
            torch.cat([own_keys[:, :num_prefix], read_keys, own_keys[:, num_prefix:]], dim=1),
            torch.cat([own_values[:, :num_prefix], read_values, own_values[:, num_prefix:]], dim=1),
        )
        self.seconds = time.perf_counter() - began + (self.seconds if layer_idx else 0.0)

    def state(self) -> MemoryState:
        """Return what the last question read, while archive and memory are as they were then."""
        held, rows = self._cache.state(), []
        for layer, (archived, own) in enumerate(self._chosen):
            patches = torch.cat(
                [self.archive.temporal_patch_ids[archived], held.temporal_patch_ids[layer].cpu()[own]]
            )
            seconds = torch.cat([self.archive.pts_seconds[archived], held.pts_seconds[layer].cpu()[own]])
            rows.append((torch.arange(len(patches)), patches, seconds, torch.ones_like(patches)))
        token_ids, patches, seconds, counts = (
            pad_sequence(list(column), batch_first=True, padding_value=padding)
            for column, padding in zip(zip(*rows, strict=True), (-1, -1, 0, 0), strict=True)
        )
        return MemoryState(
            num_prefix_tokens=held.num_prefix_tokens,
            token_ids=token_ids,
            temporal_patch_ids=patches,
            pts_seconds=seconds,
            counts=counts,
        )

    def _choose(
        self,
        layer_idx: int,
        queries: Float[Tensor, "heads tokens head_dim"],
        held_keys: Float[Tensor, "kv_heads held head_dim"],
    ) -> tuple[Int[Tensor, " chosen_archived"], Int[Tensor, " chosen_held"]]:
        """Return which archived tokens and which tokens of the memory the question reads, in order."""
        archive, grouper, num_held = self.archive, self.archive.grouper, held_keys.shape[1]
        groups = archive.groups[layer_idx]
        group_of_token = archive.group_of_token(layer_idx).long().to(held_keys.device)
        room = self._read_tokens
        if self._reads_memory:
            room -= num_held
        else:  # tokens of the memory compete with those of the archive
            patches = self._cache.temporal_patch_ids(layer_idx)[self._cache.num_prefix_tokens :]
            own, groups = grouper.join(grouper.rows(held_keys), patches, groups)
            group_of_token = torch.cat([group_of_token, own], dim=1)
        scores = group_of_token.new_zeros(0).float()
        if group_of_token.shape[1]:
            scores = grouper.score(queries, groups, room).gather(1, group_of_token).amax(dim=0)
        best = scores.argsort(descending=True, stable=True)[: max(room, 0)]
        chosen = best[scores[best] > -torch.inf].sort().values
        archived = chosen[chosen < archive.num_tokens]
        if self._reads_memory:
            newest = min(num_held, self._read_tokens)
            return archived, torch.arange(num_held - newest, num_held, device=chosen.device)
        return archived, chosen[chosen >= archive.num_tokens] - archive.num_tokens
