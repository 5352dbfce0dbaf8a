"""A filter at work on one stream: what it drops, and what it remembers of earlier chunks."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from hermes_stream.filters.base import Past, TokenFilter
from hermes_stream.models.visual import VisualTokens


class TokenFiltering:
    """Sifts chunk after chunk; words follow their frame.

    Args:
        token_filter: what drops visual tokens.

    Attributes:
        num_dropped: visual tokens dropped so far.
    """

    def __init__(self, token_filter: TokenFilter) -> None:
        self._filter = token_filter
        self._past: tuple[int, Past] | None = None
        self.num_dropped = 0

    def forget(self) -> None:
        """Begin anew."""
        self._past = None

    def sift(self, visual: VisualTokens) -> tuple[VisualTokens, Bool[Tensor, " tokens"], Sifting]:
        """Return the chunk with tokens replaced by means, which of them stay, and what to keep if they do.

        Frames are compared place by place, so frames of another size than those before begin anew.
        """
        is_visual = ~visual.is_text
        pictures = visual.embeddings[is_visual.to(visual.embeddings.device)].unflatten(
            0, (visual.num_temporal_patches, -1)
        )
        per_frame = pictures.shape[1]
        past = self._past[1] if self._past and self._past[0] == per_frame else None
        sifted = self._filter.filter(pictures, past)
        kept = torch.zeros(len(visual), dtype=torch.bool)
        kept[is_visual] = sifted.kept.flatten().cpu()
        alive = torch.zeros(visual.num_temporal_patches, dtype=torch.bool)
        alive[visual.temporal_patch_index[kept]] = True
        kept[visual.is_text] = alive[visual.temporal_patch_index[visual.is_text]]
        embeddings = visual.embeddings.clone()
        embeddings[is_visual.to(embeddings.device)] = sifted.tokens.flatten(0, 1)
        dropped = int((~sifted.kept).sum())
        return visual.with_embeddings(embeddings), kept, (per_frame, sifted.past, dropped)

    def commit(self, sifting: Sifting) -> None:
        """Remember a chunk, once it is in the memory."""
        per_frame, past, dropped = sifting
        self._past = (per_frame, past)
        self.num_dropped += dropped


Sifting = tuple[int, Past, int]
"""Tokens of a frame, what the filter remembers, tokens dropped."""
