"""The seam of methods that find forgotten tokens again when a question comes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.uniform import UniformPolicy
from hermes_stream.policies.window import WindowPolicy
from hermes_stream.retrieval.groups import (
    Groups,
    best_groups,
    hash_groups,
    hash_signs,
    heaviest_groups,
    patch_groups,
)

ArchiveKeeps = Literal["newest", "uniform"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval(ABC):
    """How tokens that left the memory are grouped in an archive, and which of them a question reads.

    Attributes:
        read_tokens: visual tokens that a question reads in each layer at most.
        archive_tokens: tokens that the archive holds of each layer at most; None is no bound.
        archive_keeps: what a bounded archive keeps: the "newest" frames, or a "uniform" stride.
        reads_memory: the question reads all of the memory beside what it retrieves; else the memory's tokens
            compete with those of the archive.
    """

    read_tokens: int
    archive_tokens: int | None
    archive_keeps: ArchiveKeeps
    reads_memory: bool

    def thin(self, state: MemoryState) -> RetentionPlan:
        """Choose what a bounded archive keeps; its state is shown as one layer."""
        bound = max(self.archive_tokens or 1, 1)
        keeps = WindowPolicy if self.archive_keeps == "newest" else UniformPolicy
        return keeps(budget_tokens=bound).plan(state)

    @abstractmethod
    def rows(self, keys: Float[Tensor, "kv_heads tokens head_dim"]) -> Float[Tensor, "rows tokens width"]:
        """Return a layer's raw keys as what is grouped on its own."""

    @abstractmethod
    def no_groups(self, num_kv_heads: int, head_dim: int, device: torch.device) -> Groups:
        """Return the groups of an empty archive."""

    @abstractmethod
    def join(
        self, rows: Float[Tensor, "rows tokens width"], frames: Int[Tensor, " tokens"], groups: Groups
    ) -> tuple[Int[Tensor, "rows tokens"], Groups]:
        """Find the group of each new token, in order of the stream; return it with the groups after that."""

    @abstractmethod
    def choose(
        self, queries: Float[Tensor, "heads tokens head_dim"], groups: Groups, max_tokens: int
    ) -> Float[Tensor, "rows groups"]:
        """Return how much the question wants each group, -inf for those it does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRetrieval(Retrieval):
    """Group by frame; read the frames whose mean key answers best to the mean query of the question.

    Attributes:
        read_frames: most frames that a question reads.
    """

    read_frames: int

    def rows(self, keys: Float[Tensor, "kv_heads tokens head_dim"]) -> Float[Tensor, "one tokens width"]:
        """Lay the heads of a layer side by side."""
        return keys.transpose(0, 1).flatten(1)[None]

    def no_groups(self, num_kv_heads: int, head_dim: int, device: torch.device) -> Groups:
        """Return no frames."""
        return Groups.none(1, num_kv_heads * head_dim, 0, device)

    def join(
        self, rows: Float[Tensor, "one tokens width"], frames: Int[Tensor, " tokens"], groups: Groups
    ) -> tuple[Int[Tensor, "one tokens"], Groups]:
        """Open a group for each frame; tokens come frame by frame, a frame's tokens all at once."""
        chosen = patch_groups(frames, groups.counts.shape[1])
        return chosen, groups.joined_by(rows, chosen)

    def choose(
        self, queries: Float[Tensor, "heads tokens head_dim"], groups: Groups, max_tokens: int
    ) -> Float[Tensor, "one groups"]:
        """Score frames by the product of mean query and mean key over all query heads; take the best."""
        means = groups.means
        num_kv_heads = means.shape[2] // queries.shape[2]
        query = queries.float().mean(dim=1).unflatten(0, (num_kv_heads, -1)).sum(dim=1).flatten()
        largest = int(groups.counts.max()) if groups.counts.numel() else 1
        most = min(self.read_frames, max(max_tokens // largest, 1))
        return best_groups(means @ query, groups.counts, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRetrieval(Retrieval):
    """Group each KV head's keys by random-hyperplane hash; read the clusters that hold most of the weight.

    Attributes:
        share: part of the weight that is read, in (0, 1].
        hash_bits: bits of the hash.
        max_bits: a key joins a cluster whose founder differs in at most so many bits.
        seed: of the hyperplanes.
    """

    share: float
    hash_bits: int
    max_bits: int
    seed: int

    def rows(
        self, keys: Float[Tensor, "kv_heads tokens head_dim"]
    ) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Group each KV head on its own."""
        return keys

    def no_groups(self, num_kv_heads: int, head_dim: int, device: torch.device) -> Groups:
        """Return no clusters."""
        return Groups.none(num_kv_heads, head_dim, self.hash_bits, device)

    def join(
        self,
        rows: Float[Tensor, "rows tokens width"],
        frames: Int[Tensor, " tokens"],  # noqa: ARG002
        groups: Groups,
    ) -> tuple[Int[Tensor, "rows tokens"], Groups]:
        """Let each key join the nearest cluster, or found one."""
        chosen, signs = hash_groups(hash_signs(rows, self.hash_bits, self.seed), groups, self.max_bits)
        return chosen, groups.joined_by(rows, chosen, signs)

    def choose(
        self,
        queries: Float[Tensor, "heads tokens head_dim"],
        groups: Groups,
        max_tokens: int,  # noqa: ARG002
    ) -> Float[Tensor, "rows groups"]:
        """Weigh clusters for the queries of each KV head; take the heaviest."""
        means = groups.means
        grouped = queries.float().unflatten(0, (means.shape[0], -1)).flatten(1, 2)
        scores = grouped @ means.mT / queries.shape[2] ** 0.5
        return heaviest_groups(scores, groups.counts, self.share)
