"""Figures of ``hermes bench``: time to first token, memory and ingest by length of stream; many streams.

Made of the document that ``hermes bench`` writes and of nothing else: stored results can be drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_lab.analysis.figures import (
    GREY,
    MARKERS,
    ORANGE,
    colours_of,
    legend_below,
    new_figure,
    save_all,
    write_plain_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Document = Mapping[str, Any]
_REFERENCE = "hermes"
_MILLION = 1e6
_STAGES = ("decode", "preprocess", "encode", "prefill", "compress")


def plot(document: Document, folder: Path) -> list[Path]:
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
    return save_all(figures, folder)


def _ttft(document: Document) -> Figure:
    """Draw both times to first token against the length of the stream."""
    figure, (asked, arrived) = _panels(document, shares_y=True)
    for axes, key in ((asked, "ttft"), (arrived, "ttft_from_arrival")):
        _draw_lines(
            axes, document, f"{key}_seconds", 1000, spread=(f"{key}_low_seconds", f"{key}_high_seconds")
        )
        own = _runs_of(document, _REFERENCE) or document["runs"]
        lengths = [run["num_frames"] for run in own]
        least = [1000 * run[f"floor_{key}_seconds"] for run in own]
        axes.plot(lengths, least, color=GREY, ls=":", label=f"floor of {own[0]['policy']}")
        axes.set_yscale("log")
        write_plain_numbers(axes.yaxis)
    asked.set_ylabel("milliseconds (median, quartiles)")
    asked.set_title("from the question to the first token", fontsize=10)
    arrived.set_title("from a last frame, question at once", fontsize=10)
    return _finished(figure, document)


def _memory(document: Document) -> Figure:
    """Draw bytes on the device and on the host against the length of the stream."""
    figure, (device, host) = _panels(document, shares_y=False)
    _draw_lines(device, document, "peak_bytes", 1 / _MILLION)
    _draw_lines(host, document, "host_bytes", 1 / _MILLION)
    device.set_yscale("log")
    host.set_yscale("symlog", linthresh=1)
    for axes in (device, host):
        write_plain_numbers(axes.yaxis)
    device.set_ylabel("MB above the weights")
    device.set_title("device: buffers, and what a chunk and a question add", fontsize=10)
    host.set_title("host: pictures or keys and values held for questions", fontsize=10)
    return _finished(figure, document)


def _ingest(document: Document) -> Figure:
    """Draw where the time of a frame goes, one bar for each memory at its longest stream."""
    from matplotlib import colormaps

    longest = {run["policy"]: run for run in sorted(document["runs"], key=lambda run: run["num_frames"])}
    figure = new_figure(8.2, 1.6 + 0.42 * len(longest))
    axes = figure.subplots()
    names = list(reversed(longest))
    left = [0.0] * len(names)
    for k, stage in enumerate(_STAGES):
        widths = [1000 * (longest[name]["ingest_seconds_per_frame"].get(stage) or 0) for name in names]
        axes.barh(names, widths, left=left, color=colormaps["viridis"](0.1 + 0.2 * k), label=stage)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, name in enumerate(names):
        text = f"  {longest[name]['ingest_fps']:,.0f} frames/s"
        if name in _deferring(document):
            text += f", the rest at each question: {1000 * longest[name]['ttft_seconds']:,.0f} ms"
        axes.text(left[row], row, text, va="center", fontsize=8)
    axes.set_xlim(0, 1.3 * max(left))
    axes.set_xlabel("milliseconds per frame")
    legend_below(figure, [axes], ncols=len(_STAGES))
    counts = sorted({run["num_frames"] for run in longest.values()})
    axes.set_title(f"{_title(document)}, streams of {' or '.join(map(str, counts))} frames", fontsize=10)
    return figure


def _streams(document: Document) -> Figure:
    """Draw how many frames many streams watch, and how long their questions wait."""
    rows = sorted(document["streams"], key=lambda row: row["num_streams"])
    counts = [row["num_streams"] for row in rows]
    figure = new_figure(9.8, 4.2)
    watched, waited = figure.subplots(1, 2)
    watched.plot(counts, [row["fps_total"] for row in rows], color=ORANGE, marker="o", label="all streams")
    watched.plot(counts, counts, color=GREY, ls=":", label="one frame a second to each")
    watched.set_ylabel("frames per second, as fast as they are taken")
    asked = [row for row in rows if row["ttft_p99_seconds"] is not None]
    for key, label, style in (("median", "median", "o-"), ("p99", "99th percentile", "^--")):
        waits = [1000 * row[f"ttft_{key}_seconds"] for row in asked]
        waited.plot([row["num_streams"] for row in asked], waits, style, color=ORANGE, label=label)
    waited.set_ylabel("milliseconds to the first token, in real time")
    waited.set_ylim(0, 1.15 * max((1000 * row["ttft_p99_seconds"] for row in asked), default=1))
    for axes in (watched, waited):
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_xlabel("streams at once")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    watched.set_yscale("log")
    write_plain_numbers(watched.yaxis)
    figure.suptitle(f"{_title(document)}, {_REFERENCE}", fontsize=10)
    return figure


def _panels(document: Document, *, shares_y: bool) -> tuple[Figure, Sequence[Axes]]:
    figure = new_figure(9.8, 4.8)
    panels: Sequence[Axes] = figure.subplots(1, 2, sharey=shares_y)
    lengths = sorted({run["num_frames"] for run in document["runs"]})
    for axes in panels:
        axes.set_xscale("log", base=2)
        axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
        axes.minorticks_off()
        axes.set_xlabel("frames watched")
        axes.grid(alpha=0.3)
    return figure, panels


def _draw_lines(
    axes: Axes, document: Document, key: str, factor: float, *, spread: tuple[str, str] | None = None
) -> None:
    """Draw one line for each memory, and a band around it if quartiles are named.

    The reference is broad and behind the others, whose markers shrink: where several agree, all are seen.
    """
    names = list(dict.fromkeys(run["policy"] for run in document["runs"]))
    names.sort(key=lambda name: name != _REFERENCE)
    deferring = _deferring(document)
    for k, (name, colour) in enumerate(colours_of(names, {_REFERENCE}).items()):
        runs = _runs_of(document, name)
        lengths, values = [run["num_frames"] for run in runs], [factor * run[key] for run in runs]
        is_reference = name == _REFERENCE
        style: dict[str, Any] = {
            "marker": MARKERS[k % len(MARKERS)],
            "ms": 12 if is_reference else 8 - 4 * k / len(names),
            "lw": 5 if is_reference else 1.4,
        }
        label = f"{name} (encodes at the question)" if name in deferring else name
        axes.plot(lengths, values, color=colour, label=label, **style)
        if spread is not None:
            low, high = ([factor * run[side] for run in runs] for side in spread)
            axes.fill_between(lengths, low, high, color=colour, alpha=0.2, lw=0)


def _deferring(document: Document) -> set[str]:
    """Return the memories that hold pictures, and encode and prefill them when a question comes."""
    stages = {run["policy"]: run["ingest_seconds_per_frame"] for run in document["runs"]}
    return {name for name, own in stages.items() if not own.get("encode") and not own.get("prefill")}


def _runs_of(document: Document, policy: str) -> list[Mapping[str, Any]]:
    runs = (run for run in document["runs"] if run["policy"] == policy)
    return sorted(runs, key=lambda run: run["num_frames"])


def _finished(figure: Figure, document: Document) -> Figure:
    legend_below(figure, figure.axes[:1], ncols=4)
    figure.suptitle(_title(document), fontsize=10)
    return figure


def _title(document: Document) -> str:
    return (
        f"{document['model']}, {document['dtype']} on {document['device']}, "
        f"{document['budget_tokens']} visual tokens per layer"
    )
