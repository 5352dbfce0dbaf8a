"""``hermes models``: what can be loaded, and what each takes of a memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hermes_stream.cli.catalogue import list_models
from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import print_json, say, say_lines, screen, screen_width, size

Entry = Mapping[str, Any]

_TITLES = {
    "embedded": "shipped with the package",
    "family": "published sizes of the supported families, by hub name",
    "cache": "in the local hub cache",
}
_MIN_TABLE_CELLS = 118
_SHARED_COLUMNS = ("KV per token", "positions", "fps", "budget", "tokens a frame")


def models(*, json: JsonOption = False) -> None:
    """List what can be loaded: sizes, bytes of keys and values per token, positions, rates and budgets.

    Bytes are those of 16 bit numbers; a stream keeps each key twice, so that its buffers take half as much
    again.
    """
    entries = list(map(asdict, list_models()))
    if json:
        print_json({"models": entries})
        return
    for source, title in _TITLES.items():
        listed = [entry for entry in entries if entry["source"] == source]
        say(f"{title}{'' if listed else ': nothing'}")
        if listed:
            _print(listed)
        say()


def _print(entries: Sequence[Entry]) -> None:
    rows = [(entry["name"], _row(entry)) for entry in entries]
    if screen_width() >= _MIN_TABLE_CELLS:
        _print_table(rows)
    else:
        for name, row in rows:
            say(f"  {name}")
            say_lines({column: text for column, text in row.items() if text}, indent=4)
    for entry in entries:
        if entry["knows"]:
            say_lines({"": f"{entry['name']} knows {entry['knows']}, and nothing else"}, indent=0)


def _print_table(rows: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for column in rows[0][1]:
        is_text = column in ("family", "revision")
        table.add_column(column, no_wrap=column == "family", justify="left" if is_text else "right")
    for name, row in rows:
        table.add_row(*(Text(cell) for cell in (name, *row.values())))
    screen().print(table)


def _row(entry: Entry) -> dict[str, str]:
    """Return the cells of an entry by column; numbers that are not known are empty."""
    row = {"family": f"{entry['model_type'] or 'unknown'}{'' if entry['supported'] else ' (not supported)'}"}
    if entry["source"] == "cache":
        row |= {"revision": entry["revision"] or "", "on disk": size(entry["stored_bytes"] or 0)}
    else:
        row["parameters"] = _count(entry["num_parameters"])
    if entry["kv_bytes_per_token"] is None:
        return row | dict.fromkeys(_SHARED_COLUMNS, "")
    per_patch = entry["tokens_per_temporal_patch"]
    cells = (
        f"{entry['kv_bytes_per_token'] / 1024:g} KiB",
        f"{entry['max_positions']}",
        "" if entry["default_fps"] is None else f"{entry['default_fps']:g}",
        f"{entry['default_budget_tokens']}",
        "by its size" if per_patch is None else f"{per_patch}",
    )
    return row | dict(zip(_SHARED_COLUMNS, cells, strict=True))


def _count(parameters: int | None) -> str:
    if parameters is None:
        return ""
    return f"{parameters / 1e9:.3g} B" if parameters >= 1e9 else f"{parameters / 1e6:.3g} M"
