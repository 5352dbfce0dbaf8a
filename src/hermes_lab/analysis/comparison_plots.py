"""Figures of a comparison: accuracy against budget, against delay, against time to first token.

Made of the document that ``hermes compare`` writes and of nothing else: stored results can be drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_lab.analysis.figures import (
    BLUE,
    GREY,
    MARKERS,
    ORANGE,
    PALE,
    PURPLE,
    colours_of,
    legend_below,
    new_figure,
    save_all,
    write_plain_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]  # one policy with one budget
Bar = tuple[float, tuple[list[float], list[float]]]
_TITLE_LETTERS = 36
_GROUP_TITLES = {"now": "now (real time)", "backward": "backward (recall)", "counting": "counting"}
_INTERVALS = "bars hold 95 % of a bootstrap over videos"
_HOLLOW = "hollow: no interval, as all answers are alike or videos too few"


def plot(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw all figures that a comparison has numbers for, and return their files.

    Args:
        document: as ``hermes compare`` writes it.
        folder: where PNG files are written; must exist.
    """
    rows, reference = document["scores"], document["reference"]
    if not rows:
        return []
    figures = {"budget": _against_budget(rows, reference), "ttft": _against_ttft(rows, reference)}
    if rows[0]["accuracy_by_delay"]["by_group"].get("backward"):
        figures["delay"] = _against_delay(rows, reference)
    about = _about(document)
    for figure in figures.values():
        figure.suptitle(f"{about}{figure.get_suptitle()}\n{_HOLLOW}", fontsize=10)
    return save_all(figures, folder)


def _about(document: Mapping[str, Any]) -> str:
    """Return which model answered how many questions, where the comparison says so."""
    manifest = document.get("manifest")
    if not manifest:
        return ""
    return (
        f"{manifest['model']}, {manifest['num_questions']} questions about {manifest['num_videos']} videos; "
    )


def _against_budget(rows: Sequence[Row], reference: str) -> Figure:
    """Draw accuracy against budget; with a single budget, one line of text and a bar for each policy."""
    budgets = _budgets(rows)
    return _ranking(rows, reference) if len(budgets) < 2 else _curves(rows, reference, budgets)


def _ranking(rows: Sequence[Row], reference: str) -> Figure:
    groups = list(rows[0]["accuracy_by_group"]) or ["overall"]
    decisive = "backward" if "backward" in groups else groups[0]
    ranked = sorted(rows, key=lambda row: _part(row, decisive)["accuracy"])
    figure = new_figure(3.2 + 3.0 * len(groups), 1.6 + 0.3 * len(ranked))
    own = next((row for row in rows if row["policy"] == reference), None)
    for group, axes in _panels(figure, groups, sharey=True):
        for height, row in enumerate(ranked):
            middle, reach = _bar(_part(row, group))
            colour = _colour(row, reference)
            axes.errorbar(
                middle, height, xerr=reach, fmt="o", color=colour, mfc=_face(reach, colour), capsize=3, ms=5
            )
        _mark_chance(axes, _part(rows[0], group)["chance"], upright=True)
        if own:
            axes.axvline(100 * _part(own, group)["accuracy"], color=ORANGE, lw=0.8, alpha=0.5)
        axes.set_xlabel("right answers, %")
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(ranked)), [_wrapped(row["policy"]) for row in ranked], fontsize=8)
    figure.suptitle(f"{_budget_title(ranked)}; {_INTERVALS}", fontsize=10)
    return figure


def _curves(rows: Sequence[Row], reference: str, budgets: Sequence[int]) -> Figure:
    groups = list(rows[0]["accuracy_by_group"]) or ["overall"]
    names = list(dict.fromkeys(row["policy"] for row in rows))
    figure = new_figure(1.0 + 3.6 * len(groups), 4.2 + 0.22 * ceil(len(names) / 3))
    colours = colours_of(names, {reference})
    for group, axes in _panels(figure, groups, sharey=True):
        for k, name in enumerate(names):
            own = [row for row in rows if row["policy"] == name]
            bars = [_bar(_part(row, group)) for row in own]
            if own[0]["budget_tokens"] is None:
                axes.axhline(bars[0][0], color=GREY, ls="--", label=name)
                continue
            # side by side, so that bars of several policies do not hide each other
            aside = 1.02 ** (k - len(names) / 2)
            lw = 2 if name == reference else 1
            style: dict[str, Any] = {
                "color": colours[name],
                "marker": MARKERS[k % len(MARKERS)],
                "ms": 5,
                "lw": lw,
            }
            _draw_bars(axes, [row["budget_tokens"] * aside for row in own], bars, label=name, **style)
        _mark_chance(axes, _part(rows[0], group)["chance"], upright=False)
        axes.set_xscale("log")
        axes.set_xticks(budgets, [str(budget) for budget in budgets])
        axes.minorticks_off()
        axes.set_xlabel("budget, visual tokens per layer")
    figure.axes[0].set_ylabel("right answers, %")
    legend_below(figure, figure.axes)
    figure.suptitle(_INTERVALS, fontsize=10)
    return figure


def _against_delay(rows: Sequence[Row], reference: str) -> Figure:
    """Draw recall against delay, one panel for each policy, the reference behind each."""
    largest = max((row["budget_tokens"] or 0 for row in rows), default=0)
    shown = [row for row in rows if row["budget_tokens"] in (largest, None)]
    behind = next((row for row in shown if row["policy"] == reference), None)
    others = [row for row in shown if row is not behind] or shown
    num_columns = min(4, len(others))
    num_rows = ceil(len(others) / num_columns)
    figure = new_figure(1.0 + 3.1 * num_columns, 1.2 + 2.4 * num_rows)
    panels = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    bins = [_bin_title(one) for one in shown[0]["accuracy_by_delay"]["by_group"]["backward"]]
    for axes in panels.flat[len(others) :]:
        axes.set_visible(False)
    for k, (axes, row) in enumerate(zip(panels.flat, others, strict=False)):
        colour = _colour(row, reference)
        if behind is not None:
            _draw_delays(axes, behind, aside=-0.06, color=ORANGE, alpha=0.55)
        _draw_delays(axes, row, aside=0.06, color=colour)
        axes.set_xticks(range(len(bins)), bins, rotation=60, fontsize=7)
        axes.tick_params(labelbottom=k + num_columns >= len(others))
        axes.set_title(_wrapped(row["policy"]), fontsize=8.5, color=colour)
        axes.grid(alpha=0.3)
    figure.supylabel("right answers to backward questions, %", fontsize=9)
    figure.supxlabel("seconds since the evidence left the screen", fontsize=9)
    note = f"; {reference} in orange behind each" if behind else ""
    figure.suptitle(f"{_budget_title(shown)}; {_INTERVALS}{note}", fontsize=10)
    return figure


def _draw_delays(axes: Axes, row: Row, *, aside: float, **style: Any) -> None:
    bars = [_bar(own) for own in row["accuracy_by_delay"]["by_group"]["backward"]]
    _draw_bars(axes, [k + aside for k in range(len(bars))], bars, marker="o", ms=4, lw=1.2, **style)


def _against_ttft(rows: Sequence[Row], reference: str) -> Figure:
    """Draw accuracy against the time to the first token, now and backward apart."""
    groups = [group for group in rows[0]["accuracy_by_group"] if group != "counting"] or ["overall"]
    names = [_label(row, rows) for row in rows]
    figure = new_figure(1.0 + 4.2 * len(groups), 4.4 + 0.22 * ceil(len(names) / 3))
    colours = colours_of(names, {_label(row, rows) for row in rows if row["policy"] == reference})
    for group, axes in _panels(figure, groups, sharex=True):
        for k, (name, row) in enumerate(zip(names, rows, strict=True)):
            middle, reach = _bar(_part(row, group))
            low, ttft, high = (1000 * row[f"ttft_{end}seconds"] for end in ("low_", "", "high_"))
            style: dict[str, Any] = {
                "color": colours[name],
                "mfc": _face(reach, colours[name]),
                "fmt": MARKERS[k % len(MARKERS)],
                "ms": 7,
                "capsize": 2,
                "lw": 1,
            }
            axes.errorbar(ttft, middle, xerr=([ttft - low], [high - ttft]), yerr=reach, label=name, **style)
        axes.set_xscale("log")
        write_plain_numbers(axes.xaxis)
        axes.tick_params(axis="x", which="both", labelsize=7)
        axes.set_xlabel("time to first token, ms (median, quartiles)")
        axes.set_ylabel("right answers, %")
    legend_below(figure, figure.axes)
    figure.suptitle(f"{_budget_title(rows)}; upright {_INTERVALS}", fontsize=10)
    return figure


def _panels(figure: Figure, groups: Sequence[str], **sharing: Any) -> Iterator[tuple[str, Axes]]:
    panels = figure.subplots(1, len(groups), squeeze=False, **sharing)[0]
    for group, axes in zip(groups, panels, strict=True):
        axes.set_title(_GROUP_TITLES.get(group, group), fontsize=10)
        axes.grid(alpha=0.3)
        yield group, axes


def _part(row: Row, group: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = row["accuracy_by_group"].get(group, row)
    return part


def _bar(part: Mapping[str, Any]) -> Bar:
    """Return an accuracy in percent and how far its interval reaches below and above it."""
    value, low, high = (part[name] for name in ("accuracy", "low", "high"))
    if low is None or high is None:
        return 100 * value, ([0.0], [0.0])
    return 100 * value, ([100 * max(value - low, 0)], [100 * max(high - value, 0)])


def _draw_bars(axes: Axes, x: Sequence[float], bars: Sequence[Bar], **style: Any) -> None:
    reach = [[own[side][0] for _, own in bars] for side in (0, 1)]
    axes.errorbar(x, [middle for middle, _ in bars], yerr=reach, capsize=2, **style)
    hollow = [k for k, (_, own) in enumerate(bars) if not _has_width(own)]
    marks = {name: style[name] for name in ("marker", "ms", "color") if name in style}
    axes.plot([x[k] for k in hollow], [bars[k][0] for k in hollow], ls="", mfc="white", zorder=3, **marks)


def _has_width(reach: tuple[list[float], list[float]]) -> bool:
    return any(side[0] > 0 for side in reach)


def _face(reach: tuple[list[float], list[float]], colour: Any) -> Any:
    """Return what fills a marker: nothing where a missing bar would look like certainty."""
    return colour if _has_width(reach) else "white"


def _colour(row: Row, reference: str) -> str:
    if row["budget_tokens"] is None:
        return GREY
    if row["policy"] == reference:
        return ORANGE
    is_variant = row["policy"].partition(":")[0] == reference.partition(":")[0]
    return PURPLE if is_variant else BLUE


def _label(row: Row, rows: Sequence[Row]) -> str:
    """Name a point; with its budget if the policy is there with several."""
    several = sum(other["policy"] == row["policy"] for other in rows) > 1
    return f"{row['policy']}, {row['budget_tokens']} tokens" if several else str(row["policy"])


def _wrapped(name: str) -> str:
    """Break a long name after its commas."""
    lines = [""]
    for piece in name.replace(",", ",\n").splitlines():
        if lines[-1] and len(lines[-1]) + len(piece) > _TITLE_LETTERS:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _budgets(rows: Sequence[Row]) -> list[int]:
    return sorted({row["budget_tokens"] for row in rows if row["budget_tokens"] is not None})


def _budget_title(rows: Sequence[Row]) -> str:
    budgets = ", ".join(map(str, _budgets(rows)))
    return f"{budgets} visual tokens per layer" if budgets else "no bound"


def _bin_title(own: Mapping[str, Any]) -> str:
    low, high = own["from_seconds"], own["until_seconds"]
    return f"{low / 3600:.1f}-{high / 3600:.1f} h" if high > 7200 else f"{low:g}-{high:g}"


def _mark_chance(axes: Axes, chance: float, *, upright: bool) -> None:
    at, text = 100 * chance, {"fontsize": 7, "color": PALE}
    if upright:
        axes.axvline(at, color=PALE, ls=":", lw=1.2)
        above = axes.get_xaxis_transform()
        axes.text(at, 0.99, "chance", text, transform=above, rotation=90, va="top", ha="right")
    else:
        axes.axhline(at, color=PALE, ls=":", lw=1.2)
        axes.text(0.01, at, "chance", text, transform=axes.get_yaxis_transform(), va="bottom")
