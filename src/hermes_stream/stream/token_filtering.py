"""A filter at work on one stream: what it drops, and what it remembers of earlier chunks."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hermes_stream.errors import SnapshotError
from hermes_stream.filters.base import Past, TokenFilter
from hermes_stream.models.visual import VisualTokens
from hermes_stream.saved import Saved


class TokenFiltering:
    """Filters chunk after chunk; the text tokens of a temporal patch stay while a visual token of it stays.

    Args:
        token_filter: what drops visual tokens; None drops none.

    Attributes:
        num_dropped: visual tokens dropped so far.
    """

    def __init__(self, token_filter: TokenFilter | None) -> None:
        self._filter = token_filter
        self._past: tuple[int, Past] | None = None
        self._uncommitted: tuple[int, Past, int] | None = None
        self.num_dropped = 0

    def forget(self) -> None:
        """Begin anew; what comes again is counted again."""
        self._past, self.num_dropped = None, 0

    def filter(self, visual: VisualTokens) -> tuple[VisualTokens, Bool[Tensor, " tokens"]]:
        """Return the chunk, some of its tokens replaced by means, and which of them stay.

        Patches are compared place by place, so patches of another size than those before begin anew.
        ``commit`` when the chunk is in the memory.
        """
        kept = torch.ones(len(visual), dtype=torch.bool)
        if self._filter is None:
            return visual, kept
        is_visual = ~visual.is_text
        patches = visual.embeddings[is_visual.to(visual.embeddings.device)].unflatten(
            0, (visual.num_temporal_patches, -1)
        )
        tokens_per_patch = patches.shape[1]
        past = self._past[1] if self._past and self._past[0] == tokens_per_patch else None
        filtered = self._filter.filter(patches, past)
        kept[is_visual] = filtered.kept.flatten().cpu()
        is_alive = torch.zeros(visual.num_temporal_patches, dtype=torch.bool)
        is_alive[visual.temporal_patch_index[kept & is_visual]] = True
        kept[visual.is_text] = is_alive[visual.temporal_patch_index[visual.is_text]]
        embeddings = visual.embeddings.clone()
        embeddings[is_visual.to(embeddings.device)] = filtered.tokens.flatten(0, 1)
        self._uncommitted = (tokens_per_patch, filtered.past, int((~filtered.kept).sum()))
        return visual.with_embeddings(embeddings), kept

    def commit(self) -> None:
        """Compare later chunks with the one that was filtered last."""
        if self._uncommitted is not None:
            tokens_per_patch, past, num_dropped = self._uncommitted
            self._past, self._uncommitted = (tokens_per_patch, past), None
            self.num_dropped += num_dropped

    def saved(self) -> Saved:
        """Return what the filter remembers."""
        tokens_per_patch, past = self._past or (0, ())
        return Saved(
            tensors={f"past.{index}": tensor for index, tensor in enumerate(past)},
            values={
                "tokens_per_patch": tokens_per_patch,
                "num_past": len(past),
                "num_dropped": self.num_dropped,
            },
        )

    def restore(self, saved: Saved, like: Float[Tensor, "1 hidden"], max_patch_tokens: int) -> None:
        """Remember what another filter did that is set alike.

        Args:
            saved: of the other.
            like: a token, for width, dtype and device.
            max_patch_tokens: visual tokens of a temporal patch, at most.

        Raises:
            SnapshotError: the filter cannot go on from it.
        """
        self.num_dropped = saved.integer("num_dropped")
        per_patch = saved.integer("tokens_per_patch", most=max_patch_tokens)
        if not per_patch:
            return
        self._past = (per_patch, self._tried(saved, like.expand(2, per_patch, -1).clone()))

    def _tried(self, saved: Saved, patches: Float[Tensor, "2 per_patch hidden"]) -> Past:
        """Return a past once the filter, which alone knows what it means, has gone on from it."""
        if self._filter is None:
            raise SnapshotError(f"{saved.path}past is that of a filter, and the stream has none")
        own = self._filter.filter(patches, None).past
        saved.integer("num_past", least=len(own), most=len(own))
        past = tuple(
            saved.tensor(f"past.{k}", dtype=like.dtype, shape=(None,) * like.dim()).to(like.device, copy=True)
            for k, like in enumerate(own)
        )
        try:
            self._filter.filter(patches, past)
        except Exception as error:  # whatever a filter raises at numbers that are not its own
            raise SnapshotError(
                f"{saved.path}past is none that {type(self._filter).__name__} can go on from ({error}); the "
                "snapshot is damaged, take an older one"
            ) from error
        return past
