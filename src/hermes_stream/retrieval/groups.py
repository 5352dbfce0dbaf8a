"""Groups of keys, by which evicted tokens are found again: temporal patches, or clusters of like keys.

A row is what is grouped on its own: each KV head, or all heads of a layer together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.saved import Saved


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Groups of one layer's tokens.

    Attributes:
        sums: of the raw keys of each group, float32.
        counts: tokens of each group; 0 is no group.
        signs: the hash of each group's first token; without bits where groups are not found by hash.
    """

    sums: Float[Tensor, "rows groups width"]
    counts: Int[Tensor, "rows groups"]
    signs: Bool[Tensor, "rows groups bits"]

    @classmethod
    def none(cls, rows: int, width: int, bits: int, device: torch.device) -> Groups:
        """Return no groups."""
        return cls(
            sums=torch.zeros(rows, 0, width, device=device),
            counts=torch.zeros(rows, 0, dtype=torch.long, device=device),
            signs=torch.zeros(rows, 0, bits, dtype=torch.bool, device=device),
        )

    def saved(self) -> Saved:
        """Return the groups."""
        return Saved(tensors={"sums": self.sums, "counts": self.counts, "signs": self.signs})

    def restored(self, saved: Saved) -> Groups:
        """Return groups that were saved, on the device of these, which are none.

        Raises:
            SnapshotError: they are not of the same rows, width and bits.
        """
        (rows, _, width), bits = self.sums.shape, self.signs.shape[2]
        counts = saved.tensor("counts", dtype=self.counts.dtype, shape=(rows, None), least=0)
        shape = (rows, counts.shape[1])
        sums = saved.tensor("sums", dtype=self.sums.dtype, shape=(*shape, width))
        signs = saved.tensor("signs", dtype=self.signs.dtype, shape=(*shape, bits))
        device = self.sums.device
        return Groups(sums=sums.to(device), counts=counts.to(device), signs=signs.to(device))

    @property
    def means(self) -> Float[Tensor, "rows groups width"]:
        """Mean raw key of each group."""
        return self.sums / self.counts.clamp(min=1)[..., None]

    def joined_by(
        self,
        keys: Float[Tensor, "rows tokens width"],
        groups: Int[Tensor, "rows tokens"],
        signs: Bool[Tensor, "rows all_groups bits"] | None = None,
    ) -> Groups:
        """Return the groups after tokens came to them.

        Args:
            keys: raw keys of the tokens.
            groups: which group each token belongs to; numbers beyond those there are make new groups.
            signs: hashes of all groups, new ones included; None where groups are not found by hash.
        """
        num_groups = self.counts.shape[1] if signs is None else signs.shape[1]
        num_groups = max(num_groups, int(groups.max()) + 1 if groups.numel() else 0)
        more = num_groups - self.counts.shape[1]
        return Groups(
            sums=_added(F.pad(self.sums, (0, 0, 0, more)), keys.float(), groups),
            counts=F.pad(self.counts, (0, more)).scatter_add(1, groups, torch.ones_like(groups)),
            signs=F.pad(self.signs, (0, 0, 0, more)) if signs is None else signs,
        )

    def left_by(self, keys: Float[Tensor, "rows tokens width"], groups: Int[Tensor, "rows tokens"]) -> Groups:
        """Return the groups after tokens left them; empty ones stay, with count 0."""
        return Groups(
            sums=_added(self.sums, -keys.float(), groups),
            counts=self.counts.scatter_add(1, groups, -torch.ones_like(groups)),
            signs=self.signs,
        )

    def packed(self, groups: Int[Tensor, "rows tokens"]) -> tuple[Groups, Int[Tensor, "rows tokens"]]:
        """Drop empty groups, and number those of tokens anew; shorter rows are filled up with empty ones."""
        is_used = self.counts > 0
        order = is_used.int().argsort(dim=1, descending=True, stable=True)
        order = order[:, : int(is_used.sum(dim=1).max()) if is_used.numel() else 0]
        wide = order[..., None]
        packed = Groups(
            sums=self.sums.gather(1, wide.expand(-1, -1, self.sums.shape[2])),
            counts=self.counts.gather(1, order),
            signs=self.signs.gather(1, wide.expand(-1, -1, self.signs.shape[2])),
        )
        return packed, (is_used.cumsum(dim=1) - 1).gather(1, groups)


def _added(
    sums: Float[Tensor, "rows groups width"],
    keys: Float[Tensor, "rows tokens width"],
    groups: Int[Tensor, "rows tokens"],
) -> Float[Tensor, "rows groups width"]:
    return sums.scatter_add(1, groups[..., None].expand_as(keys), keys)


def patch_groups(patches: Int[Tensor, " tokens"], num_groups: int) -> Int[Tensor, "1 tokens"]:
    """Number tokens by their temporal patch, each patch a new group.

    Args:
        patches: temporal patch of each token, ascending.
        num_groups: groups there are already.
    """
    is_new = torch.diff(patches, prepend=patches[:1] - 1) != 0
    return (is_new.cumsum(dim=0) + num_groups - 1)[None]


def hash_signs(
    keys: Float[Tensor, "rows tokens width"], bits: int, seed: int
) -> Bool[Tensor, "rows tokens bits"]:
    """Return on which side of random planes a key lies; like keys agree in most bits."""
    generator = torch.Generator().manual_seed(seed)
    planes = torch.randn(keys.shape[-1], bits, generator=generator).to(keys.device)
    return keys.float() @ planes >= 0


def hash_groups(
    signs: Bool[Tensor, "rows tokens bits"], known: Groups, max_bits: int
) -> tuple[Int[Tensor, "rows tokens"], Bool[Tensor, "rows all_groups bits"]]:
    """Let tokens, one after the other, join the nearest group by hash, or found one.

    Args:
        signs: hashes of the tokens, in order.
        known: groups there are.
        max_bits: a token joins the group whose founder differs in the fewest bits, the oldest of equals, if
            they are at most so many; else it founds one.

    Returns:
        Group of each token, and the hashes of all groups; shorter rows are filled up with unused ones.
    """
    rows, num_tokens, bits = signs.shape
    row, index = torch.arange(rows, device=signs.device), torch.arange(num_tokens, device=signs.device)
    begins = [torch.where(known.counts > 0, 0, num_tokens)]
    founders = [known.signs]
    distance = _differing(signs, known.signs).masked_fill((known.counts == 0)[:, None], bits + 1)
    is_free = (distance > max_bits).all(dim=2)
    while is_free.any():
        first = torch.where(is_free, index, num_tokens).amin(dim=1)  # num_tokens: this row founds none
        founders.append(signs[row, first.clamp(max=num_tokens - 1)][:, None])
        begins.append(first[:, None])
        is_free = is_free & (_differing(signs, founders[-1])[..., 0] > max_bits)
    every = torch.cat(founders, dim=1)
    if not num_tokens:
        return torch.zeros(rows, 0, dtype=torch.long, device=signs.device), every
    is_later = index[:, None] < torch.cat(begins, dim=1)[:, None]
    return _differing(signs, every).masked_fill(is_later, bits + 1).argmin(dim=2), every


def _differing(
    signs: Bool[Tensor, "rows tokens bits"], others: Bool[Tensor, "rows groups bits"]
) -> Int[Tensor, "rows tokens groups"]:
    """Count the bits in which each pair differs."""
    ours, theirs = signs.float() * 2 - 1, others.float() * 2 - 1
    return ((signs.shape[-1] - ours @ theirs.mT) / 2).long()


def best_groups(
    scores: Float[Tensor, "rows groups"], counts: Int[Tensor, "rows groups"], max_groups: int
) -> Float[Tensor, "rows groups"]:
    """Return the scores of the best groups of each row, -inf for the others; at equal score the older one."""
    scores = scores.masked_fill(counts == 0, -torch.inf)
    rank = scores.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return scores.masked_fill(rank >= max_groups, -torch.inf)


def heaviest_groups(
    scores: Float[Tensor, "rows queries groups"], counts: Int[Tensor, "rows groups"], share: float
) -> Float[Tensor, "rows groups"]:
    """Return the weights of the fewest groups that hold this share of all weight, -inf for the others.

    A group weighs exp(score - max) times its tokens, normalised for each query; the mean over queries counts.
    """
    weights = (scores + counts.clamp(min=1).log()[:, None]).masked_fill((counts == 0)[:, None], -torch.inf)
    weights = weights.softmax(dim=2).mean(dim=1)
    ordered, order = weights.sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(dim=1) - ordered
    ordered = ordered.masked_fill((before >= share) | (ordered == 0), -torch.inf)
    return torch.full_like(weights, -torch.inf).scatter(1, order, ordered)
