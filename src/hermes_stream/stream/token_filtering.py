"""A filter at work on one stream: what it drops, and what it remembers of earlier chunks."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from hermes_stream.filters.base import Past, TokenFilter
from hermes_stream.models.visual import VisualTokens


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
        """Begin anew."""
        self._past = None

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
