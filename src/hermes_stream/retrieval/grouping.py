"""How archived tokens are grouped, and which groups a question reads: what a policy's spec says, at work."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.policies.base import HashGrouping, PatchGrouping
from hermes_stream.retrieval.groups import (
    Groups,
    best_groups,
    hash_groups,
    hash_signs,
    heaviest_groups,
    patch_groups,
)


class Grouper(Protocol):
    """Groups a layer's raw keys, and scores the groups for a question's raw queries."""

    def rows(self, keys: Float[Tensor, "kv_heads tokens head_dim"]) -> Float[Tensor, "rows tokens width"]:
        """Return a layer's raw keys as what is grouped on its own."""

    def no_groups(self, num_kv_heads: int, head_dim: int, device: torch.device) -> Groups:
        """Return the groups of an empty archive."""

    def join(
        self, rows: Float[Tensor, "rows tokens width"], patches: Int[Tensor, " tokens"], groups: Groups
    ) -> tuple[Int[Tensor, "rows tokens"], Groups]:
        """Find the group of each new token, in order of the stream; return it with the groups after that.

        Args:
            rows: keys of the tokens.
            patches: temporal patch of each token.
            groups: those there are.
        """

    def score(
        self, queries: Float[Tensor, "heads tokens head_dim"], groups: Groups, max_tokens: int
    ) -> Float[Tensor, "rows groups"]:
        """Return how much the question wants each group, -inf for those it does not read."""


class PatchGrouper:
    """Groups by temporal patch, all heads of a layer together.

    Args:
        spec: how many patches a question reads.
    """

    def __init__(self, spec: PatchGrouping) -> None:
        self._spec = spec

    def rows(self, keys: Float[Tensor, "kv_heads tokens head_dim"]) -> Float[Tensor, "1 tokens width"]:
        """Lay the heads of a layer side by side."""
        return keys.transpose(0, 1).flatten(1)[None]

    def no_groups(self, num_kv_heads: int, head_dim: int, device: torch.device) -> Groups:
        """Return no patches."""
        return Groups.none(1, num_kv_heads * head_dim, 0, device)

    def join(
        self, rows: Float[Tensor, "1 tokens width"], patches: Int[Tensor, " tokens"], groups: Groups
    ) -> tuple[Int[Tensor, "1 tokens"], Groups]:
        """Open a group for each patch; tokens come patch by patch, a patch's tokens all at once."""
        chosen = patch_groups(patches, groups.counts.shape[1])
        return chosen, groups.joined_by(rows, chosen)

    def score(
        self, queries: Float[Tensor, "heads tokens head_dim"], groups: Groups, max_tokens: int
    ) -> Float[Tensor, "1 groups"]:
        """Score patches by the product of mean query and mean key over all query heads; take the best."""
        means = groups.means
        num_kv_heads = means.shape[2] // queries.shape[2]
        query = queries.float().mean(dim=1).unflatten(0, (num_kv_heads, -1)).sum(dim=1).flatten()
        largest = int(groups.counts.max()) if groups.counts.numel() else 1
        max_patches = min(self._spec.max_patches, max(max_tokens // largest, 1))
        return best_groups(means @ query, groups.counts, max_patches)


class HashGrouper:
    """Groups each KV head's keys by random-hyperplane hash.

    Args:
        spec: the hash, and how much of the weight a question reads.
    """

    def __init__(self, spec: HashGrouping) -> None:
        self._spec = spec

    def rows(
        self, keys: Float[Tensor, "kv_heads tokens head_dim"]
    ) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Group each KV head on its own."""
        return keys

    def no_groups(self, num_kv_heads: int, head_dim: int, device: torch.device) -> Groups:
        """Return no clusters."""
        return Groups.none(num_kv_heads, head_dim, self._spec.hash_bits, device)

    def join(
        self,
        rows: Float[Tensor, "rows tokens width"],
        patches: Int[Tensor, " tokens"],  # noqa: ARG002
        groups: Groups,
    ) -> tuple[Int[Tensor, "rows tokens"], Groups]:
        """Let each key join the nearest cluster, or found one."""
        signs = hash_signs(rows, self._spec.hash_bits, self._spec.seed)
        chosen, all_signs = hash_groups(signs, groups, self._spec.max_bits)
        return chosen, groups.joined_by(rows, chosen, all_signs)

    def score(
        self,
        queries: Float[Tensor, "heads tokens head_dim"],
        groups: Groups,
        max_tokens: int,  # noqa: ARG002
    ) -> Float[Tensor, "rows groups"]:
        """Weigh clusters for the queries of each KV head; take the heaviest."""
        means = groups.means
        grouped = queries.float().unflatten(0, (means.shape[0], -1)).flatten(1, 2)
        scores = grouped @ means.mT / queries.shape[2] ** 0.5
        return heaviest_groups(scores, groups.counts, self._spec.share)


def grouper_of(spec: PatchGrouping | HashGrouping | Grouper) -> Grouper:
    """Return what carries a policy's grouping out; a policy may bring a ``Grouper`` of its own."""
    if isinstance(spec, PatchGrouping):
        return PatchGrouper(spec)
    return HashGrouper(spec) if isinstance(spec, HashGrouping) else spec
