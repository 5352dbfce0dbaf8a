"""Figures of a comparison: accuracy against budget, against delay, against time to first token.

Made of the document that ``hermes compare`` writes and of nothing else: stored results can be drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

PolicyScores = Mapping[str, Any]
_REFERENCE, _VARIANT, _RIVAL, _UNBOUNDED = "#ea580c", "#7c3aed", "#1d4ed8", "#52525b"
_PALE = "#a1a1aa"
_DPI = 130
_TITLE_LETTERS = 36
_NEAR_REFERENCE = (2, 3)
_GROUP_TITLES = {"now": "now (real time)", "backward": "backward (recall)", "counting": "counting"}
_MARKERS = "osD^vP*X<>"


def plot(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw all figures that a comparison has numbers for, and return their files.

    Args:
        document: as ``hermes compare`` writes it.
        folder: where PNG files are written; must exist.
    """
    scores, reference = document["scores"], document["reference"]
    if not scores:
        return []
    figures = {"budget": _against_budget(scores, reference), "ttft": _against_ttft(scores, reference)}
    if scores[0]["accuracy_by_delay"]["by_group"].get("backward"):
        figures["delay"] = _against_delay(scores, reference)
    paths = []
    for name, figure in figures.items():
        FigureCanvasAgg(figure)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=_DPI, metadata={"Software": None})
    return paths


def _against_budget(scores: Sequence[PolicyScores], reference: str) -> Figure:
    """Draw accuracy against budget; with a single budget, one row for each policy."""
    budgets = sorted({one["budget_tokens"] for one in scores if one["budget_tokens"] is not None})
    return _rows(scores, reference) if len(budgets) < 2 else _lines(scores, reference, budgets)


def _rows(scores: Sequence[PolicyScores], reference: str) -> Figure:
    groups = list(scores[0]["accuracy_by_group"]) or ["overall"]
    ranked = sorted(scores, key=lambda one: _part(one, _recall(groups))["accuracy"])
    figure = Figure(figsize=(3.2 + 3.0 * len(groups), 1.6 + 0.3 * len(ranked)), layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, group in zip(panels, groups, strict=True):
        for row, one in enumerate(ranked):
            part = _part(one, group)
            middle, reach = _bar(part)
            colour = _colour(one, reference)
            axes.errorbar(middle, row, xerr=reach, fmt="o", color=colour, capsize=3, markersize=5)
        _mark_chance(axes, _part(scores[0], group)["chance"], vertical=True)
        own = next((one for one in scores if one["policy"] == reference), None)
        if own:
            axes.axvline(100 * _part(own, group)["accuracy"], color=_REFERENCE, lw=0.8, alpha=0.5)
        axes.set_title(_GROUP_TITLES.get(group, group), fontsize=10)
        axes.set_xlabel("right answers, %")
        axes.grid(axis="x", alpha=0.3)
        axes.set_yticks(range(len(ranked)), [_wrapped(one["policy"]) for one in ranked], fontsize=8)
    figure.suptitle(f"{_budget_words(ranked)}; bars hold 95 % of a bootstrap over videos", fontsize=10)
    return figure


def _lines(scores: Sequence[PolicyScores], reference: str, budgets: Sequence[int]) -> Figure:
    groups = list(scores[0]["accuracy_by_group"]) or ["overall"]
    names = list(dict.fromkeys(one["policy"] for one in scores))
    figure = Figure(
        figsize=(1.0 + 3.6 * len(groups), 4.2 + 0.22 * ceil(len(names) / 3)), layout="constrained"
    )
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    palette = _palette(names, {reference})
    for axes, group in zip(panels, groups, strict=True):
        for k, name in enumerate(names):
            own = [one for one in scores if one["policy"] == name]
            bars = [_bar(_part(one, group)) for one in own]
            if own[0]["budget_tokens"] is None:
                axes.axhline(bars[0][0], color=_UNBOUNDED, ls="--", label=name)
                continue
            shift = 1.02 ** (k - len(names) / 2)
            axes.errorbar(
                [one["budget_tokens"] * shift for one in own],
                [middle for middle, _ in bars],
                yerr=_columns(bars),
                color=palette[name],
                marker=_MARKERS[k % len(_MARKERS)],
                ms=5,
                capsize=2,
                lw=2 if name == reference else 1,
                label=name,
            )
        _mark_chance(axes, _part(scores[0], group)["chance"], vertical=False)
        axes.set_xscale("log")
        axes.set_xticks(budgets, [str(budget) for budget in budgets])
        axes.minorticks_off()
        axes.set_title(_GROUP_TITLES.get(group, group), fontsize=10)
        axes.set_xlabel("budget, visual tokens per layer")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("right answers, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle("bars hold 95 % of a bootstrap over videos", fontsize=10)
    return figure


def _against_delay(scores: Sequence[PolicyScores], reference: str) -> Figure:
    """Draw recall against delay, one panel for each policy, the reference behind each."""
    largest = max((one["budget_tokens"] or 0 for one in scores), default=0)
    shown = [one for one in scores if one["budget_tokens"] in (largest, None)]
    behind = next((one for one in shown if one["policy"] == reference), None)
    others = [one for one in shown if one is not behind] or shown
    columns = min(4, len(others))
    rows = ceil(len(others) / columns)
    figure = Figure(figsize=(1.0 + 3.1 * columns, 1.2 + 2.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    spans = [_span(own) for own in shown[0]["accuracy_by_delay"]["by_group"]["backward"]]
    for k, axes in enumerate(panels.flat):
        if k >= len(others):
            axes.set_visible(False)
            continue
        for one, shift in ((behind, -0.06), (others[k], 0.06)):
            if one is None:
                continue
            bars = [_bar(own) for own in one["accuracy_by_delay"]["by_group"]["backward"]]
            axes.errorbar(
                [place + shift for place in range(len(bars))],
                [middle for middle, _ in bars],
                yerr=_columns(bars),
                color=_REFERENCE if one is behind else _colour(one, reference),
                marker="o",
                ms=4,
                capsize=2,
                lw=1.2,
                alpha=0.55 if one is behind else 1,
                label=one["policy"],
            )
        axes.set_xticks(range(len(spans)), spans, rotation=60, fontsize=7)
        axes.tick_params(labelbottom=k + columns >= len(others))
        axes.set_title(_wrapped(others[k]["policy"]), fontsize=8.5, color=_colour(others[k], reference))
        axes.grid(alpha=0.3)
    figure.supylabel("right answers to backward questions, %", fontsize=9)
    figure.supxlabel("seconds since the evidence left the screen", fontsize=9)
    behind_words = f"; {reference} in orange behind each" if behind else ""
    figure.suptitle(
        f"{_budget_words(shown)}; bars hold 95 % of a bootstrap over videos{behind_words}", fontsize=10
    )
    return figure


def _against_ttft(scores: Sequence[PolicyScores], reference: str) -> Figure:
    """Draw accuracy against the time to the first token, now and backward apart."""
    groups = [group for group in scores[0]["accuracy_by_group"] if group != "counting"] or ["overall"]
    names = [_label(one, scores) for one in scores]
    figure = Figure(
        figsize=(1.0 + 4.2 * len(groups), 4.4 + 0.22 * ceil(len(names) / 3)), layout="constrained"
    )
    panels = figure.subplots(1, len(groups), sharex=True, squeeze=False)[0]
    palette = _palette(names, {_label(one, scores) for one in scores if one["policy"] == reference})
    for axes, group in zip(panels, groups, strict=True):
        for k, (name, one) in enumerate(zip(names, scores, strict=True)):
            middle, reach = _bar(_part(one, group))
            ttft = 1000 * one["ttft_seconds"]
            wide = ([ttft - 1000 * one["ttft_low_seconds"]], [1000 * one["ttft_high_seconds"] - ttft])
            axes.errorbar(
                ttft,
                middle,
                xerr=wide,
                yerr=reach,
                fmt=_MARKERS[k % len(_MARKERS)],
                color=palette[name],
                ms=7,
                capsize=2,
                lw=1,
                label=name,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(ScalarFormatter())
        axes.tick_params(axis="x", which="both", labelsize=7)
        axes.set_title(_GROUP_TITLES.get(group, group), fontsize=10)
        axes.set_xlabel("time to first token, ms (median, quartiles)")
        axes.set_ylabel("right answers, %")
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(
        f"{_budget_words(scores)}; upright bars hold 95 % of a bootstrap over videos", fontsize=10
    )
    return figure


def _part(one: PolicyScores, group: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = one["accuracy_by_group"].get(group, one)
    return part


def _recall(groups: Sequence[str]) -> str:
    return "backward" if "backward" in groups else groups[0]


def _bar(own: Mapping[str, float | None]) -> tuple[float, tuple[list[float], list[float]]]:
    """Return a value in percent and how far its interval reaches below and above it."""
    value, low, high = (own[name] for name in ("accuracy", "low", "high"))
    assert value is not None
    if low is None or high is None:
        return 100 * value, ([0.0], [0.0])
    return 100 * value, ([100 * max(value - low, 0)], [100 * max(high - value, 0)])


def _columns(bars: Sequence[tuple[float, tuple[list[float], list[float]]]]) -> list[list[float]]:
    return [[reach[side][0] for _, reach in bars] for side in (0, 1)]


def _colour(one: PolicyScores, reference: str) -> str:
    if one["budget_tokens"] is None:
        return _UNBOUNDED
    if one["policy"] == reference:
        return _REFERENCE
    is_variant = one["policy"].partition(":")[0] == reference.partition(":")[0]
    return _VARIANT if is_variant else _RIVAL


def _palette(names: Sequence[str], references: set[str]) -> dict[str, Any]:
    """Return a colour for each name; those of the reference have their own."""
    others = [name for name in names if name not in references]
    every = colormaps["tab20"].colors  # type: ignore[attr-defined]
    order = [*range(0, len(every), 2), *range(1, len(every), 2)]  # the strong ones first
    shades = [every[k] for k in order if k not in _NEAR_REFERENCE]
    found = {name: shades[k % len(shades)] for k, name in enumerate(others)}
    return {name: found.get(name, _REFERENCE) for name in names}


def _label(one: PolicyScores, scores: Sequence[PolicyScores]) -> str:
    """Name a point; with its budget where the policy is there with several."""
    several = sum(other["policy"] == one["policy"] for other in scores) > 1
    return f"{one['policy']}, {one['budget_tokens']} tokens" if several else str(one["policy"])


def _wrapped(name: str) -> str:
    """Break a long name after its commas."""
    lines = [""]
    for piece in name.replace(",", ",\n").splitlines():
        if lines[-1] and len(lines[-1]) + len(piece) > _TITLE_LETTERS:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _budget_words(scores: Sequence[PolicyScores]) -> str:
    budgets = sorted({one["budget_tokens"] for one in scores if one["budget_tokens"] is not None})
    return f"{', '.join(map(str, budgets))} visual tokens per layer" if budgets else "no bound"


def _span(own: Mapping[str, Any]) -> str:
    low, high = own["from_seconds"], own["until_seconds"]
    return f"{low / 3600:.1f}-{high / 3600:.1f} h" if high > 7200 else f"{low:g}-{high:g}"


def _mark_chance(axes: Axes, chance: float, *, vertical: bool) -> None:
    place = 100 * chance
    if vertical:
        axes.axvline(place, color=_PALE, ls=":", lw=1.2)
        across = axes.get_xaxis_transform()
        axes.text(
            place,
            0.99,
            "chance",
            transform=across,
            rotation=90,
            va="top",
            ha="right",
            fontsize=7,
            color=_PALE,
        )
        return
    axes.axhline(place, color=_PALE, ls=":", lw=1.2)
    axes.text(
        0.01, place, "chance", transform=axes.get_yaxis_transform(), va="bottom", fontsize=7, color=_PALE
    )
