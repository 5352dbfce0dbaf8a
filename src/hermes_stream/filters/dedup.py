"""Drop frames that are like the one before (the frame filter of StreamMem)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hermes_stream.filters.base import FilteredTokens, FilterFacts, Past, TokenFilter, check_cosine


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameDedup(TokenFilter):
    """Drop a frame whose mean token is like that of the last kept one; average it into that one.

    Chosen where the source leaves it open: the average weighs all frames alike, and the next frame is
    compared with it; a frame that entered the memory with an earlier chunk is not changed any more.

    Attributes:
        max_cosine: a frame above it is dropped, in [-1, 1]; 0.95 in the paper.

    Raises:
        ValueError: a field is out of its range.
    """

    facts: ClassVar[FilterFacts] = FilterFacts(
        summary="frames like the last kept one", paper="StreamMem, arXiv 2508.15717"
    )

    max_cosine: float = 0.95

    def __post_init__(self) -> None:
        check_cosine("max_cosine", self.max_cosine)

    def filter(self, tokens: Float[Tensor, "frames per_frame hidden"], past: Past | None) -> FilteredTokens:
        """Compare frame by frame with the running average of the last kept one."""
        tokens = tokens.clone()
        kept = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        average, count = past if past is not None else (None, tokens.new_ones(()))
        # Index of the kept frame that holds the average; -1 while that frame is in an earlier chunk, which
        # is prefilled already and cannot be changed.
        kept_frame = -1
        for frame in range(len(tokens)):
            mean = tokens[frame].float().mean(dim=0)
            if (
                average is not None
                and F.cosine_similarity(average.mean(dim=0), mean, dim=0) > self.max_cosine
            ):
                average = (average * count + tokens[frame].float()) / (count + 1)
                count = count + 1
                if kept_frame >= 0:
                    tokens[kept_frame] = average.to(tokens.dtype)
                continue
            average, count, kept_frame = tokens[frame].float(), tokens.new_ones(()), frame
            kept[frame] = True
        assert average is not None
        return FilteredTokens(tokens=tokens, kept=kept, past=(average, count))
