"""What may be opened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePolicy:
    """What may be opened.

    Attributes:
        allow: patterns of addresses that may be opened; None for all.
    """

    allow: tuple[str, ...] | None = None
