"""The values that join policy and cache: what a policy may see, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class PerLayer(Protocol):
    """One tensor for each layer; layers may hold different numbers of tokens."""

    def __getitem__(self, layer: int, /) -> Tensor:
        """Return the tensor of a layer."""


def layer_parts(
    per_layer: PerLayer, num_layers: int, width: int | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield what layers hold, as many layers at once as there are in one piece.

    Args:
        per_layer: what has ``parts``, as ``LayerViews`` has; any other tensors are yielded one by one.
        num_layers: how many there are.
        width: tokens of a layer that will be copied; None for all.
    """
    # Asked for by name: to match a protocol takes as long as a plan's larger steps.
    if (parts := getattr(per_layer, "parts", None)) is not None:
        yield from parts(width)
        return
    for layer in range(num_layers):
        yield slice(layer, layer + 1), per_layer[layer][None]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualOrigin:
    """Where the tokens of a chunk come from: one entry per token.

    Attributes:
        temporal_patch_ids: temporal patch of the stream that the token belongs to.
        pts_seconds: presentation time of that patch.
        grid_indices: index of the token within its patch; None when the model does not number them.
        is_text: True for text tokens of the patch, such as its time; None when no token is text.
    """

    temporal_patch_ids: Int[Tensor, " tokens"]
    pts_seconds: Float[Tensor, " tokens"]
    grid_indices: Int[Tensor, " tokens"] | None = None
    is_text: Bool[Tensor, " tokens"] | None = None

    def select(self, slots: slice) -> VisualOrigin:
        """Return the origin of some of the tokens."""
        return VisualOrigin(
            temporal_patch_ids=self.temporal_patch_ids[slots],
            pts_seconds=self.pts_seconds[slots],
            grid_indices=None if self.grid_indices is None else self.grid_indices[slots],
            is_text=None if self.is_text is None else self.is_text[slots],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryState:
    """The visual tokens that every layer holds, in physical order, as a policy sees them.

    Rows are layers. A layer may hold fewer tokens than another: rows are padded on the right, and padding
    has ``token_ids == -1``. The text prefix is not part of it; it is never evicted.

    Attributes:
        num_prefix_tokens: text tokens before the video, held by every layer.
        token_ids: identity of each token in the stream, the same in all layers, ascending within a layer;
            -1 is padding. A summary token has an id of its own.
        temporal_patch_ids: temporal patch that a token came from; -1 for summaries and padding.
        pts_seconds: presentation time of that patch in seconds; for a summary, of its newest token.
        counts: how many visual tokens of the stream a token stands for: 1, or more for a summary; 0 for text
            tokens of a patch, and for padding.
        attention: softmax weight that the layer's guidance prompt pays to each token (mean over heads and
            prompt tokens, not renormalised), 0 in layers that read none; None when no prompt was read.
        grid_indices: index of each token within its temporal patch, from 0; -1 for tokens that have none and
            for padding; None when the state was built without them.
        raw_keys: of each layer, keys before rotation, ``[kv_heads, held, head_dim]`` without padding; views.
            None unless the policy's facts name "keys".
        rotated_keys: the same keys, rotated to their positions.
        values: of each layer, likewise; None unless the policy's facts name "values".
        num_held: tokens of each layer, and ``grid_size`` one more than the largest grid index that came, both
            in host memory, so that nobody waits for the device; None when the state was built without them.
        grid_size: see ``num_held``.
        layers_alike: True where all layers are known to hold the same tokens, without padding.
    """

    num_prefix_tokens: int
    token_ids: Int[Tensor, "layers tokens"]
    temporal_patch_ids: Int[Tensor, "layers tokens"]
    pts_seconds: Float[Tensor, "layers tokens"]
    counts: Int[Tensor, "layers tokens"]
    attention: Float[Tensor, "layers tokens"] | None = None
    grid_indices: Int[Tensor, "layers tokens"] | None = None
    raw_keys: PerLayer | None = None
    rotated_keys: PerLayer | None = None
    values: PerLayer | None = None
    num_held: tuple[int, ...] | None = None
    grid_size: int | None = None
    layers_alike: bool = False

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        return self.token_ids.shape[0]

    @property
    def present(self) -> Bool[Tensor, "layers tokens"]:
        """True where there is a token, False on padding."""
        return self.token_ids >= 0

    @property
    def is_full(self) -> bool:
        """Whether no row is known to have padding, without looking."""
        held = self.num_held
        return self.layers_alike or (held is not None and min(held) == self.token_ids.shape[1])

    @property
    def lengths(self) -> Int[Tensor, " layers"]:
        """Number of visual tokens in each layer."""
        return self.present.sum(dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedSlots:
    """New slots, each the weighted mean of tokens, appended behind the tokens that stay.

    A token may join a slot and stay as well. A new slot is an ordinary token afterwards.

    Attributes:
        slot_of_token: which new slot of its layer each token joins, from 0; -1 joins none.
        weights: share that each token has in its slot; those of a slot sum to 1.
        source_indices: for each new slot the physical index of the token whose temporal patch, time and
            position it inherits, padded on the right with -1.
    """

    slot_of_token: Int[Tensor, "layers tokens"]
    weights: Float[Tensor, "layers tokens"]
    source_indices: Int[Tensor, "layers slots"]

    @property
    def num_slots(self) -> Int[Tensor, " layers"]:
        """Number of new slots in each layer."""
        return (self.source_indices >= 0).sum(dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPlan:
    """A policy's answer: which tokens stay, which layers leave a summary, whether positions become dense.

    Attributes:
        keep: physical indices among the visual tokens, ascending and unique within a layer, padded on the
            right with -1.
        summarize: layers that replace what they evict by one summary token, appended last; a layer that
            evicts nothing gets none.
        reindex: give the kept tokens dense positions now (eager) instead of leaving gaps (lazy).
        merge: slots that the layers gain; None adds none. A plan either merges or summarizes.
        num_kept: tokens that each layer keeps, and ``num_new`` the slots that it gains, for who knows them
            without looking, so that the cache need not wait for the device; None lets it look.
        num_new: see ``num_kept``.
        is_shared: True where all layers are known to keep the same indices.
    """

    keep: Int[Tensor, "layers kept"]
    summarize: Bool[Tensor, " layers"]
    reindex: bool = False
    merge: MergedSlots | None = None
    num_kept: tuple[int, ...] | None = None
    num_new: tuple[int, ...] | None = None
    is_shared: bool = False

    def counted(
        self, evicted: Bool[Tensor, "layers tokens"], summarizes: Bool[Tensor, " layers"]
    ) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
        """Return the tokens that layers keep, the slots that they gain, and whether any token leaves.

        Args:
            evicted: tokens that leave.
            summarizes: layers that make a summary of them.
        """
        if self.num_kept is not None and self.num_new is not None:
            return self.num_kept, self.num_new, True
        num_new = summarizes.long() if self.merge is None else self.merge.num_slots
        # All at once: the host waits for the device once.
        counts = torch.stack(((self.keep >= 0).sum(dim=1), num_new, evicted.any(dim=1).long()))
        kept, new, leave = counts.tolist()
        return tuple(kept), tuple(new), any(leave)
