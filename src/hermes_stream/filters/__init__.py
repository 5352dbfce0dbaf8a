"""Filters that drop visual tokens before they are prefilled, one file each; they combine with any policy."""

from __future__ import annotations

from collections.abc import Callable

from hermes_stream.filters.base import FilteredTokens, FilterFacts, TokenFilter
from hermes_stream.filters.dedup import FrameDedup
from hermes_stream.filters.dtd import DifferentialTokenDrop
from hermes_stream.filters.fluxmem import FluxMem

__all__ = [
    "FILTERS",
    "DifferentialTokenDrop",
    "FilterFacts",
    "FilteredTokens",
    "FluxMem",
    "FrameDedup",
    "TokenFilter",
]

FILTERS: dict[str, Callable[..., TokenFilter]] = {
    "dedup": FrameDedup,
    "dtd": DifferentialTokenDrop,
    "fluxmem": FluxMem,
}
