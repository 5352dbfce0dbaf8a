"""The filter seam: what a chunk loses between encode and prefill."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

Past = tuple[Tensor, ...]
"""What a filter remembers of earlier chunks; its own business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterFacts:
    """What stands beside a filter about it.

    Attributes:
        summary: what it drops, in a few words.
        paper: where it comes from; None for what everybody knows.
    """

    summary: str
    paper: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """What a filter leaves of a chunk.

    Attributes:
        tokens: the chunk's tokens, some of them replaced by means.
        kept: which of them enter the memory.
        past: for the next chunk.
    """

    tokens: Float[Tensor, "frames per_frame hidden"]
    kept: Bool[Tensor, "frames per_frame"]
    past: Past


class TokenFilter(ABC):
    """Drop visual tokens before they are prefilled. Holds settings only; combines with any policy.

    Attributes:
        facts: what stands beside the filter about it.
    """

    facts: ClassVar[FilterFacts]

    @abstractmethod
    def sift(self, tokens: Float[Tensor, "frames per_frame hidden"], past: Past | None) -> Sifted:
        """Choose what enters the memory.

        Args:
            tokens: consecutive frames.
            past: what the chunk before left; None at the beginning of a stream.
        """


def check_cosine(name: str, value: float) -> None:
    """Refuse a field that is no cosine.

    Raises:
        ValueError: it is none.
    """
    if not -1 <= value <= 1:
        raise ValueError(f"{name} must be in [-1, 1]; got {value}")
