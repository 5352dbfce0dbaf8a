"""Differential token drop: drop tokens that did not change since the frame before (TimeChat-Online)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hermes_stream.filters.base import FilteredTokens, FilterFacts, Past, TokenFilter, check_cosine


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferentialTokenDrop(TokenFilter):
    """Drop a token that is like the last kept one of its grid index; the first frame stays whole.

    Attributes:
        max_cosine: a token above it is dropped, in [-1, 1]. In the paper's feature space 0.25 drops 85 % of
            tokens and 0.5 drops 45 %; other models need other values.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[FilterFacts] = FilterFacts(
        summary="tokens like the last kept one of their grid index", paper="TimeChat-Online, arXiv 2504.17343"
    )

    max_cosine: float = 0.5

    def __post_init__(self) -> None:
        check_cosine("max_cosine", self.max_cosine)

    def filter(self, tokens: Float[Tensor, "frames per_frame hidden"], past: Past | None) -> FilteredTokens:
        """Compare each token with the last kept one of its grid index."""
        kept = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        last = past[0] if past is not None else tokens[0]
        for frame in range(0 if past is not None else 1, len(tokens)):
            kept[frame] = F.cosine_similarity(tokens[frame].float(), last.float(), dim=-1) <= self.max_cosine
            # Compared with what the memory holds, not with the frame before, so slow changes add up.
            last = torch.where(kept[frame][:, None], tokens[frame], last)
        return FilteredTokens(tokens=tokens, kept=kept, past=(last,))
