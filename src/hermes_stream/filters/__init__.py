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
    "choose_filter",
]

FILTERS: dict[str, Callable[..., TokenFilter]] = {
    "dedup": FrameDedup,
    "dtd": DifferentialTokenDrop,
    "fluxmem": FluxMem,
}


def choose_filter(filter: TokenFilter | str | None) -> TokenFilter | None:
    """Return the filter of a stream.

    Args:
        filter: a filter, the name of one with its defaults, or None for none.

    Raises:
        ValueError: it is none of these.
    """
    if filter is None or isinstance(filter, TokenFilter):
        return filter
    if not isinstance(filter, str):
        raise ValueError(f"filter must be a TokenFilter, a name, or None; got a {type(filter).__name__}")
    if filter not in FILTERS:
        raise ValueError(f"{filter!r} is none of {', '.join(FILTERS)}")
    return FILTERS[filter]()
