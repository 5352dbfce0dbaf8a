"""The tables, the file and the figures of ``hermes bench``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hermes_lab.cli.folder import write_document
from hermes_stream.cli.output import print_json, screen, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

REPORT = "bench.json"


def report(document: Mapping[str, Any], out: Path | None, *, plots: bool, as_json: bool) -> None:
    """Write what was measured where it is wanted, and print it."""
    figures = "latency_plots" if plots else None
    num_figures = write_document(document, out / REPORT, figures=figures) if out else 0
    if as_json:
        print_json(document)
        return
    print_report(screen(), document)
    if out:
        typer.echo(f"\n{REPORT} and {num_figures} figures in {out}")


def print_report(console: Console, document: Mapping[str, Any]) -> None:
    """Print what was measured, the floor beside each figure."""
    from rich.text import Text

    floor, place = document["floor"], document["machine"]["device"]
    console.print(
        f"{document['model']}, {document['dtype']} on {document['device']} ({place}); "
        f"{document['budget_tokens']} tokens, chunks of {document['chunk_frames']}, question of "
        f"{document['question_tokens']} tokens"
    )
    console.print(
        f"measured: {floor['memory_bytes_per_second'] / 1e9:.1f} GB/s, "
        f"{floor['operations_per_second'] / 1e12:.3g} TFLOP/s; a forward reads {size(floor['weight_bytes'])}"
    )
    if document["runs"]:
        console.print()
        console.print(_latency_table(document))
        console.print(
            "\nmedians; after / the least that the device allows; x: TTFT over that of hermes", style="dim"
        )
    if any(run["beyond_positions"] for run in document["runs"]):
        console.print(
            "*: beyond the positions that the model was made for; as fast, but answers there would be poor",
            style="dim",
        )
    if document["streams"]:
        console.print()
        console.print(_load_table(document))
        console.print(
            "\nframes/s: as fast as they are taken; the rest with one frame a second to each stream, and "
            "questions at random moments",
            style="dim",
        )
    for one in document["left_out"]:
        text = f"{one['policy']} at {one['num_frames']} frames is left out: {one['reason']}"
        console.print(Text(text, style="yellow"))
    for one in document["refused"]:
        text = f"{one['num_streams']} streams are not admitted: {one['reason']}"
        console.print(Text(text, style="yellow"))


def _latency_table(document: Mapping[str, Any]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("policy")
    columns = ("frames", "TTFT ms", "x", "on arrival ms", "ms/token", "frames/s", "buffers", "host", "peak")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    runs = sorted(document["runs"], key=lambda run: list(_order(document)).index(run["policy"]))
    for before, run in zip([None, *runs], runs, strict=False):
        is_same = before is not None and before["policy"] == run["policy"]
        table.add_row(
            Text("" if is_same else run["policy"]),
            f"{run['num_frames']}{'*' * run['beyond_positions']}",
            _beside(run["ttft_seconds"], run["floor_ttft_seconds"]),
            "" if run["ttft_over_hermes"] is None else f"{run['ttft_over_hermes']:.3g}",
            _beside(run["ttft_from_arrival_seconds"], run["floor_ttft_from_arrival_seconds"]),
            _beside(run["seconds_per_token"], run["floor_seconds_per_token"]),
            f"{run['ingest_fps']:.3g}"
            + (f" / {run['ceiling_ingest_fps']:.3g}" if run["ceiling_ingest_fps"] else ""),
            size(run["cache_bytes"]),
            size(run["host_bytes"]) if run["host_bytes"] else "",
            size(run["peak_bytes"]),
        )
    return table


def _load_table(document: Mapping[str, Any]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    columns = (
        "streams",
        "frames/s",
        "each",
        "compressing",
        "TTFT ms",
        "99 %",
        "idle",
        "keeps up",
        "bytes each",
    )
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in document["streams"]:
        waits = (row["ttft_median_seconds"], row["ttft_p99_seconds"])
        table.add_row(
            str(row["num_streams"]),
            f"{row['fps_total']:.1f}",
            f"{row['fps_per_stream']:.2f}",
            f"{row['compress_share']:.0%}",
            *("" if seconds is None else f"{seconds * 1000:.0f}" for seconds in waits),
            f"{row['idle_share']:.0%}",
            "yes" if row["keeps_up"] else "NO",
            size(row["bytes_per_stream"]),
        )
    return table


def _order(document: Mapping[str, Any]) -> dict[str, None]:
    return dict.fromkeys(run["policy"] for run in document["runs"])


def _beside(seconds: float, floor: float) -> str:
    return f"{seconds * 1000:.3g} / {floor * 1000:.2g}"
