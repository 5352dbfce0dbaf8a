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
    "filter_named",
]

FILTERS: dict[str, Callable[..., TokenFilter]] = {
    "dedup": FrameDedup,
    "dtd": DifferentialTokenDrop,
    "fluxmem": FluxMem,
}


def filter_named(name: str) -> TokenFilter:
    """Return a filter with its defaults.

    Raises:
        ValueError: there is no such filter.
    """
    if name not in FILTERS:
        raise ValueError(f"{name!r} is none of {', '.join(FILTERS)}")
    return FILTERS[name]()
