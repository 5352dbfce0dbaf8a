"""The tables, the file and the figures of ``hermes bench``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_lab.cli.folder import write_document
from hermes_stream.cli.output import print_json, say, screen, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

REPORT = "bench.json"

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], str]]
Cells = Mapping[str, Sequence[str]]

_GAP = 2
_MOST_OF_POLICY = 24  # longer names are folded

_RUN_COLUMNS: Columns = {
    "policy": lambda run: run["policy"],
    "frames": lambda run: f"{run['num_frames']}{'*' * run['beyond_positions']}",
    "TTFT ms": lambda run: _beside(run["ttft_seconds"], run["floor_ttft_seconds"]),
    "x": lambda run: "" if run["ttft_over_hermes"] is None else f"{run['ttft_over_hermes']:.3g}",
    "on arrival ms": lambda run: _beside(
        run["ttft_from_arrival_seconds"], run["floor_ttft_from_arrival_seconds"]
    ),
    "ms/token": lambda run: _beside(run["seconds_per_token"], run["floor_seconds_per_token"]),
    "frames/s": lambda run: (
        f"{run['ingest_fps']:.3g}"
        + (f" / {run['ceiling_ingest_fps']:.3g}" if run["ceiling_ingest_fps"] else "")
    ),
    "buffers": lambda run: size(run["cache_bytes"]),
    "host": lambda run: size(run["host_bytes"]) if run["host_bytes"] else "",
    "peak": lambda run: size(run["peak_bytes"]),
}
_COUNT_COLUMNS: Columns = {
    "policy": lambda run: run["policy"],
    "frames": lambda run: str(run["chunk_frames"]),
    "kernels": lambda run: f"{run['kernels_per_chunk']:,}",
    "encode": lambda run: str(run["kernels_by_stage"].get("encode", 0)),
    "prefill": lambda run: str(run["kernels_by_stage"].get("prefill", 0)),
    "compress": lambda run: str(run["kernels_by_stage"].get("compress", 0)),
    "bytes": lambda run: size(run["bytes_per_chunk"]),
    "waits": lambda run: str(run["syncs_per_chunk"]),
    "kernels a token": lambda run: f"{run['launches_per_token']:,}",
}
_LOAD_COLUMNS: Columns = {
    "streams": lambda row: str(row["num_streams"]),
    "frames/s": lambda row: f"{row['fps_total']:.1f}",
    "each": lambda row: f"{row['fps_per_stream']:.2f}",
    "compressing": lambda row: f"{row['compress_share']:.0%}",
    "TTFT ms": lambda row: _milliseconds(row["ttft_median_seconds"]),
    "99 %": lambda row: _milliseconds(row["ttft_p99_seconds"]),
    "idle": lambda row: f"{row['idle_share']:.0%}",
    "keeps up": lambda row: "yes" if row["keeps_up"] else "NO",
    "bytes each": lambda row: size(row["bytes_per_stream"]),
}


def report(document: Mapping[str, Any], out: Path | None, *, plots: bool, as_json: bool) -> None:
    """Write the document and its figures into a folder if there is one, and print it."""
    is_counted = "floor" not in document
    figures = "latency_plots" if plots and not is_counted else None
    num_figures = write_document(document, out / REPORT, figures=figures) if out else 0
    if as_json:
        print_json(document)
        return
    if is_counted:
        print_counts(screen(), document)
    else:
        print_report(screen(), document)
    if out:
        say(f"\n{REPORT} and {num_figures} figures in {out}")


def print_counts(console: Console, document: Mapping[str, Any]) -> None:
    """Print what a chunk and a token take."""
    console.print(f"{document['model']}; {document['budget_tokens']} tokens")
    _print_table(console, _COUNT_COLUMNS, document["runs"])
    console.print(
        "\na chunk of so many frames that goes over the budget; waits: the host for the device", style="dim"
    )


def print_report(console: Console, document: Mapping[str, Any]) -> None:
    """Print what was measured, the roofline beside each figure."""
    roofline, title = document["floor"], document["machine"]["device"]
    console.print(
        f"{document['model']}, {document['dtype']} on {document['device']} ({title}); "
        f"{document['budget_tokens']} tokens, chunks of {document['chunk_frames']}, question of "
        f"{document['question_tokens']} tokens\n"
        f"measured: {roofline['memory_bytes_per_second'] / 1e9:.1f} GB/s, "
        f"{roofline['operations_per_second'] / 1e12:.3g} TFLOP/s; "
        f"a forward reads {size(roofline['weight_bytes'])}"
    )
    if runs := document["runs"]:
        _print_table(console, _RUN_COLUMNS, runs)
        console.print(
            "\nmedians; after / the least that the device allows; x: TTFT over that of hermes", style="dim"
        )
    if any(run["beyond_positions"] for run in runs):
        console.print(
            "*: beyond the positions that the model was made for; as fast, but answers there would be poor",
            style="dim",
        )
    if document["streams"]:
        _print_table(console, _LOAD_COLUMNS, document["streams"], num_keys=1)
        console.print(
            "\nframes/s: as fast as they are taken; the rest with one frame a second to each stream, and "
            "questions at random moments",
            style="dim",
        )
    for one in document["left_out"]:
        text = f"{one['policy']} at {one['num_frames']} frames is left out: {one['reason']}"
        console.print(text, style="yellow", markup=False)
    for one in document["refused"]:
        text = f"{one['num_streams']} streams are not admitted: {one['reason']}"
        console.print(text, style="yellow", markup=False)


def _print_table(console: Console, columns: Columns, rows: Iterable[Row], *, num_keys: int = 2) -> None:
    """Print a table; on a narrow screen its columns stand below each other, each time with the keys."""
    rows = list(rows)
    cells = {name: [write(row) for row in rows] for name, write in columns.items()}
    for names in _fitting(cells, console.width, num_keys=num_keys):
        console.print("", _table({name: cells[name] for name in names}), sep="\n")


def _fitting(cells: Cells, width: int, *, num_keys: int) -> Iterator[list[str]]:
    """Divide columns into those that fit beside the first ones, which say what a row is of."""
    keys, others = list(cells)[:num_keys], list(cells)[num_keys:]
    needs = {name: max(map(len, (name, *own))) + _GAP for name, own in cells.items()}
    needs["policy"] = min(needs.get("policy", 0), _MOST_OF_POLICY)
    names, left = list(keys), width - sum(needs[key] for key in keys)
    for name in others:
        if needs[name] - _GAP > left and len(names) > len(keys):
            yield names
            names, left = list(keys), width - sum(needs[key] for key in keys)
        names.append(name)
        left -= needs[name]
    yield names


def _table(cells: Cells) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for name in cells:
        if name == "policy":
            table.add_column(name, overflow="fold", max_width=_MOST_OF_POLICY - _GAP)
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for row in zip(*cells.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def _beside(seconds: float, least_seconds: float) -> str:
    return f"{seconds * 1000:.3g} / {least_seconds * 1000:.2g}"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"
