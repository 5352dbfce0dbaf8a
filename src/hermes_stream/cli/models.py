"""``hermes models``: what can be loaded, and what each takes of a memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import doing, print_json, screen, size

if TYPE_CHECKING:
    from hermes_stream.models.loading.catalogue import CatalogueEntry

_TITLES = {
    "embedded": "shipped with the package",
    "family": "published sizes of the supported families, by hub name",
    "cache": "in the local hub cache",
}


def models(*, json: JsonOption = False) -> None:
    """List what can be loaded: sizes, bytes of keys and values per token, positions, rates and budgets.

    Bytes are those of 16 bit numbers; a stream keeps each key twice, so that its buffers take half as much
    again.
    """
    with doing("starting"):
        from hermes_stream.models.loading.catalogue import list_models

        entries = list_models()
    if json:
        print_json({"models": [asdict(entry) for entry in entries]})
        return
    for source, title in _TITLES.items():
        listed = [entry for entry in entries if entry.source == source]
        typer.echo(f"{title}{'' if listed else ': nothing'}")
        if listed:
            _print_table(listed, is_cache=source == "cache")
        typer.echo()


def _print_table(entries: Sequence[CatalogueEntry], *, is_cache: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    own = ("revision", "on disk") if is_cache else ("parameters",)
    shared = ("KV per token", "positions", "fps", "budget", "tokens a frame")
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("family", no_wrap=True)
    for column in (*own, *shared):
        table.add_column(column, justify="left" if column == "revision" else "right")
    for entry in entries:
        first = (
            (entry.revision or "", size(entry.stored_bytes or 0))
            if is_cache
            else (_count(entry.num_parameters),)
        )
        family = f"{entry.model_type or 'unknown'}{'' if entry.supported else ' (not supported)'}"
        row = (entry.name, family, *first, *_numbers(entry))
        table.add_row(*(Text(cell) for cell in row))
    screen().print(table)


def _numbers(entry: CatalogueEntry) -> tuple[str, ...]:
    if entry.kv_bytes_per_token is None:
        return ("",) * 5
    return (
        f"{entry.kv_bytes_per_token / 1024:g} KiB",
        f"{entry.max_positions}",
        "" if entry.default_fps is None else f"{entry.default_fps:g}",
        f"{entry.default_budget_tokens}",
        "by its size" if entry.tokens_per_temporal_patch is None else f"{entry.tokens_per_temporal_patch}",
    )


def _count(parameters: int | None) -> str:
    if parameters is None:
        return ""
    return f"{parameters / 1e9:.3g} B" if parameters >= 1e9 else f"{parameters / 1e6:.3g} M"
