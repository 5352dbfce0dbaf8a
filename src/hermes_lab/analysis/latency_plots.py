"""Figures of ``hermes bench``: time to first token, memory and ingest by length of stream; many streams.

Made of the document that ``hermes bench`` writes and of nothing else: stored results can be drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

Run = Mapping[str, Any]
_REFERENCE, _FLOOR = "#ea580c", "#71717a"
_TAB20 = colormaps["tab20"].colors  # type: ignore[attr-defined]
_NEAR_REFERENCE = (2, 3)
_MARKERS = "osD^vP*X<>"
_DPI = 130
_MILLION = 1e6
_STAGES = ("decode", "preprocess", "encode", "prefill", "compress")


def plot(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw all figures that a run has numbers for, and return their files.

    Args:
        document: as ``hermes bench`` writes it.
        folder: where PNG files are written; must exist.
    """
    figures = {}
    if document["runs"]:
        figures = {"ttft": _ttft(document), "memory": _memory(document), "ingest": _ingest(document)}
    if document["streams"]:
        figures["streams"] = _streams(document)
    paths = []
    for name, figure in figures.items():
        FigureCanvasAgg(figure)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=_DPI, metadata={"Software": None})
    return paths


def _ttft(document: Mapping[str, Any]) -> Figure:
    """Draw both times to first token against the length of the stream."""
    figure, (asked, arrived) = _panels(document, 2, shares_y=True)
    for axes, key in ((asked, "ttft"), (arrived, "ttft_from_arrival")):
        _draw(axes, document, f"{key}_seconds", 1000, spread=(f"{key}_low_seconds", f"{key}_high_seconds"))
        own = _of(document, "hermes") or document["runs"]
        lengths, floors = zip(*((run["num_frames"], run[f"floor_{key}_seconds"]) for run in own), strict=True)
        least = [1000 * floor for floor in floors]
        axes.plot(lengths, least, color=_FLOOR, ls=":", label=f"floor of {own[0]['policy']}")
        axes.set_yscale("log")
    asked.set_ylabel("milliseconds (median, quartiles)")
    asked.set_title("from the question to the first token", fontsize=10)
    arrived.set_title("from a last frame, question at once", fontsize=10)
    return _finished(figure, document)


def _memory(document: Mapping[str, Any]) -> Figure:
    """Draw bytes on the device and on the host against the length of the stream."""
    figure, (device, host) = _panels(document, 2, shares_y=False)
    _draw(device, document, "peak_bytes", 1 / _MILLION)
    _draw(host, document, "host_bytes", 1 / _MILLION)
    device.set_yscale("log")
    host.set_yscale("symlog", linthresh=1)
    device.set_ylabel("MB above the weights")
    device.set_title("device: buffers, and what a chunk and a question add", fontsize=10)
    host.set_title("host: pictures or keys and values held for questions", fontsize=10)
    return _finished(figure, document)


def _ingest(document: Mapping[str, Any]) -> Figure:
    """Draw where the time of a frame goes, one bar for each memory at its longest stream."""
    longest = {run["policy"]: run for run in sorted(document["runs"], key=lambda run: run["num_frames"])}
    figure = Figure(figsize=(8.2, 1.6 + 0.42 * len(longest)), layout="constrained")
    axes = figure.subplots()
    names = list(reversed(longest))
    left = [0.0] * len(names)
    shades = colormaps["viridis"]
    for k, stage in enumerate(_STAGES):
        widths = [1000 * (longest[name]["ingest_seconds_per_frame"].get(stage) or 0) for name in names]
        axes.barh(names, widths, left=left, color=shades(0.1 + 0.2 * k), label=stage)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, name in enumerate(names):
        run = longest[name]
        axes.text(left[row], row, f"  {run['ingest_fps']:,.0f} frames/s", va="center", fontsize=8)
    axes.set_xlim(0, 1.25 * max(left))
    axes.set_xlabel("milliseconds per frame")
    figure.legend(loc="outside lower center", ncols=len(_STAGES), fontsize=8)
    counts = sorted({run["num_frames"] for run in longest.values()})
    axes.set_title(f"{_title(document)}, streams of {' or '.join(map(str, counts))} frames", fontsize=10)
    return figure


def _streams(document: Mapping[str, Any]) -> Figure:
    """Draw what many streams take in, and how long their questions wait."""
    rows = sorted(document["streams"], key=lambda row: row["num_streams"])
    counts = [row["num_streams"] for row in rows]
    figure = Figure(figsize=(9.8, 4.2), layout="constrained")
    taken, waited = figure.subplots(1, 2)
    taken.plot(counts, [row["fps_total"] for row in rows], color=_REFERENCE, marker="o", label="all streams")
    taken.plot(counts, counts, color=_FLOOR, ls=":", label="one frame a second to each")
    taken.set_ylabel("frames per second, as fast as they are taken")
    asked = [row for row in rows if row["ttft_p99_seconds"] is not None]
    for key, words in (("ttft_median_seconds", "median"), ("ttft_p99_seconds", "99th percentile")):
        is_median = words == "median"
        waited.plot(
            [row["num_streams"] for row in asked],
            [1000 * row[key] for row in asked],
            color=_REFERENCE,
            marker="o" if is_median else "^",
            ls="-" if is_median else "--",
            label=words,
        )
    waited.set_ylabel("milliseconds to the first token, in real time")
    waited.set_ylim(0, 1.15 * max((1000 * row["ttft_p99_seconds"] for row in asked), default=1))
    for axes in (taken, waited):
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_xlabel("streams at once")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    taken.set_yscale("log")
    taken.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.suptitle(_title(document), fontsize=10)
    return figure


def _panels(document: Mapping[str, Any], count: int, *, shares_y: bool) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(1.0 + 4.4 * count, 4.8), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, count, sharey=shares_y, squeeze=False)[0]
    lengths = sorted({run["num_frames"] for run in document["runs"]})
    for axes in panels:
        axes.set_xscale("log", base=2)
        axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
        axes.minorticks_off()
        axes.set_xlabel("frames watched")
        axes.grid(alpha=0.3)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return figure, panels


def _draw(
    axes: Axes, document: Mapping[str, Any], key: str, factor: float, spread: tuple[str, str] | None = None
) -> None:
    """Draw one line for each memory, and a band around it where quartiles are named."""
    colours = [colour for k, colour in enumerate(_TAB20) if k not in _NEAR_REFERENCE]
    names = dict.fromkeys(run["policy"] for run in document["runs"])
    for k, name in enumerate(names):
        runs, is_reference = _of(document, name), name == "hermes"
        lengths = [run["num_frames"] for run in runs]
        colour = _REFERENCE if is_reference else colours[2 * k % len(colours)]
        axes.plot(
            lengths,
            [factor * run[key] for run in runs],
            color=colour,
            marker=_MARKERS[k % len(_MARKERS)],
            ms=5,
            lw=2.2 if is_reference else 1.2,
            label=name,
        )
        if spread is not None:
            low, high = ([factor * run[side] for run in runs] for side in spread)
            axes.fill_between(lengths, low, high, color=colour, alpha=0.2, lw=0)


def _of(document: Mapping[str, Any], policy: str) -> list[Run]:
    runs = (run for run in document["runs"] if run["policy"] == policy)
    return sorted(runs, key=lambda run: run["num_frames"])


def _finished(figure: Figure, document: Mapping[str, Any]) -> Figure:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(_title(document), fontsize=10)
    return figure


def _title(document: Mapping[str, Any]) -> str:
    return (
        f"{document['model']}, {document['dtype']} on {document['device']}, "
        f"{document['budget_tokens']} visual tokens per layer"
    )
