"""The filter seam: a filter drops visual tokens of a chunk between encode and prefill."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

Past = tuple[Tensor, ...]
"""What a filter remembers of earlier chunks; only the filter itself reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterFacts:
    """What is stated about a filter, for readers and for lists of filters.

    Attributes:
        summary: what it drops, in a few words.
        paper: title and arXiv number; None for methods without a paper.
    """

    summary: str
    paper: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredTokens:
    """The tokens of a chunk after filtering.

    Attributes:
        tokens: the chunk's tokens, some of them replaced by means.
        kept: True for the tokens that enter the memory.
        past: what the filter needs to know at the next chunk.
    """

    tokens: Float[Tensor, "frames per_frame hidden"]
    kept: Bool[Tensor, "frames per_frame"]
    past: Past


class TokenFilter(ABC):
    """Drop visual tokens before they are prefilled. Holds settings only; combines with any policy.

    Attributes:
        facts: what is stated about the filter.
    """

    facts: ClassVar[FilterFacts]

    @abstractmethod
    def filter(self, tokens: Float[Tensor, "frames per_frame hidden"], past: Past | None) -> FilteredTokens:
        """Choose the tokens that enter the memory.

        Args:
            tokens: visual tokens of consecutive temporal patches.
            past: ``past`` of the chunk before; None at the beginning of a stream.
        """


def check_cosine(name: str, value: float) -> None:
    """Refuse a field that cannot be a cosine.

    Raises:
        ValueError: the value is not in [-1, 1].
    """
    if not -1 <= value <= 1:
        raise ValueError(f"{name} must be in [-1, 1]; got {value}")
