"""Figures of a model's attention and of a memory, drawn from the measured values alone.

Time runs from left to right everywhere, so that the newest stands on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from hermes_lab.analysis.attention import AttentionStudy
from hermes_lab.analysis.figures import BLUE, GREY, ORANGE, legend_below, new_figure, set_title
from hermes_lab.analysis.memory_map import MemoryMap
from hermes_lab.analysis.thumbnails import Thumbnails
from hermes_lab.analysis.tier_proposal import PERIODIC_FROM, RECENT_FROM
from hermes_stream.memory.tiers import Tiers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
_WIDTH = 8.0
_NUM_THUMBNAILS = 12
_MAX_LAYER_TICKS = 16
_TITLE_LETTERS = 110
_MAX_RATIO_TO_EVEN = 32.0
_MIN_ROWS_HEIGHT = 1.5
_NOTE = {"facecolor": "white", "edgecolor": GREY, "boxstyle": "round,pad=0.5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """Evidence of one answer, as it is drawn.

    Attributes:
        title: what stands above it.
        seconds: times of the remembered temporal patches.
        shares: what each has of the attention to the video.
        spans: when what decides the answer was on screen, (from, until) in seconds, if that is known.
    """

    title: str
    seconds: tuple[float, ...]
    shares: tuple[float, ...]
    spans: tuple[tuple[float, float], ...] = ()


def draw_attention(study: AttentionStudy, *, about: str = "") -> Figure:
    """Draw attention by layer and age, colours on a log scale around what even attention has."""
    from matplotlib.colors import LogNorm

    num_layers = len(study.layers)
    figure = new_figure(_WIDTH, 0.8 + _layers_height(num_layers))
    axes = figure.subplots()
    even = np.array([bucket.token_share for bucket in study.buckets])
    ratios = np.array([layer.attention_by_age for layer in study.layers]) / even
    limit = float(np.clip(2 ** np.ceil(np.abs(np.log2(ratios.clip(1e-9))).max()), 2, _MAX_RATIO_TO_EVEN))
    last = study.buckets[-1].until_seconds
    oldest_edge = last + last / max(study.num_temporal_patches - 1, 1)
    edges = [*(bucket.from_seconds for bucket in study.buckets), oldest_edge]
    norm = LogNorm(1 / limit, limit)
    image = axes.pcolormesh(edges, _layer_edges(num_layers), ratios, norm=norm, cmap="RdBu_r")
    axes.invert_xaxis()
    axes.set_xlabel("age of the frames, seconds before the newest")
    _name_layers(axes, num_layers)
    set_title(axes, "What questions attend to, by layer and age", about)
    bar = figure.colorbar(image, ax=axes, label="attention per token, even attention = 1")
    ticks = [2.0**k for k in range(-int(np.log2(limit)), int(np.log2(limit)) + 1)]
    bar.set_ticks(ticks, labels=[f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
    bar.minorticks_off()
    return figure


def draw_tiers(study: AttentionStudy, *, about: str = "") -> Figure:
    """Draw recency index and periodicity of each layer, with the boundaries of the tiers."""
    figure = new_figure(_WIDTH, 5.0)
    upper, lower = figure.subplots(2, sharex=True)
    layers = np.arange(len(study.layers))
    upper.plot(layers, [layer.recency_index for layer in study.layers], "o-", color=BLUE, clip_on=False)
    _mark_level(upper, 0.5, "even")
    _mark_level(upper, RECENT_FROM, "attends to\nthe newest")
    upper.set_ylim(0, 1)
    upper.set_ylabel("recency index")
    set_title(upper, "Which layers attend to the newest, and which to one grid index of every frame", about)
    periods = [layer.periodicity or 0.0 for layer in study.layers]
    lower.bar(layers, periods, width=0.6, color=BLUE)
    _mark_level(lower, PERIODIC_FROM, "has anchor\ntokens")
    lower.axhline(0, color="black", lw=0.6)
    lower.set_ylim(min(-0.05, *periods) * 1.1, max(0.5, *periods) * 1.15)
    lower.set_ylabel("periodicity")
    lower.set_xlabel("layer, shallow to deep")
    lower.set_xlim(-0.9, len(layers) - 0.1)  # boundaries before the first and behind the last layer show
    lower.set_xticks(_ticked_layers(len(layers)))
    if study.layers[0].periodicity is None:
        lower.text(0.5, 0.5, "the stream is too short to tell", transform=lower.transAxes, ha="center")
    paper = Tiers(num_layers=len(layers))
    usual = (paper.first_working_layer, paper.first_long_term_layer)
    proposed = (study.proposal.num_sensory_layers, len(layers) - study.proposal.num_long_term_layers)
    counts = f"{study.proposal.num_sensory_layers} sensory, {study.proposal.num_long_term_layers} long-term"
    for axes in (upper, lower):
        for layer in usual:
            axes.axvline(layer - 0.5, label="boundaries of the paper", color=GREY, ls="--", lw=1.2)
        for layer in proposed:
            label = f"boundaries proposed here ({counts} layers)"
            axes.axvline(layer - 0.5, label=label, color=ORANGE, ls="-", lw=1.6)
    legend_below(figure, (upper, lower))
    return figure


def draw_periodicity(study: AttentionStudy, *, about: str = "") -> Figure:
    """Draw the autocorrelation of each layer's attention over tokens, temporal patches marked."""
    num_layers, per_patch = len(study.layers), study.tokens_per_temporal_patch
    figure = new_figure(_WIDTH, 0.8 + _layers_height(num_layers))
    axes = figure.subplots()
    set_title(axes, f"Does attention repeat with the frames? ({per_patch} tokens a frame)", about)
    values = np.array([layer.autocorrelation for layer in study.layers])
    if not values.size:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "the stream has fewer than eight frames of one size", ha="center")
        return figure
    limit = max(0.1, float(np.quantile(np.abs(values), 0.995)))
    lags = np.arange(values.shape[1] + 1) + 0.5
    image = axes.pcolormesh(lags, _layer_edges(num_layers), values, cmap="PuOr_r", vmin=-limit, vmax=limit)
    whole = [per_patch * k for k in range(1, values.shape[1] // per_patch + 1)]
    axes.set_xticks(whole, [f"{lag}\n{k} frame{'s' * (k > 1)}" for k, lag in enumerate(whole, start=1)])
    if per_patch <= _MAX_LAYER_TICKS:
        axes.set_xticks(range(1, values.shape[1] + 1), minor=True)
    axes.set_xlabel("distance in tokens")
    _name_layers(axes, num_layers)
    figure.colorbar(image, ax=axes, label="autocorrelation of attention", extend="both")
    return figure


def draw_map(
    found: MemoryMap, thumbnails: Thumbnails, *, span: tuple[float, float], about: str = "", note: str = ""
) -> Figure:
    """Draw which moments survive in which layer, with images of the moments.

    Args:
        found: the memory.
        thumbnails: of the stream.
        span: first and last moment of the stream in seconds.
        about: model and memory.
        note: what is to be known of the whole memory.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    num_layers = len(found.layers)
    height = _layers_height(num_layers)
    figure = new_figure(_WIDTH, 1.9 + height)
    above, axes = figure.subplots(2, sharex=True, height_ratios=[0.62, height])
    period = patch_period(found.temporal_patch_ids, found.seconds)
    values = np.array([layer.num_tokens for layer in found.layers], dtype=float).reshape(num_layers, -1)
    if values.size:
        highest = int(values.max())
        # a shade for each number of tokens, the palest still seen on white
        shades = ListedColormap(colormaps["Blues"](np.linspace(0.25, 1.0, max(highest, 1))))
        edges, columns = _columns(found.seconds, period)
        cells = np.ma.masked_less(np.where(columns < 0, 0, values[:, columns]), 1)
        scale = {"cmap": shades, "vmin": 0.5, "vmax": highest + 0.5}
        image = axes.pcolormesh(edges, _layer_edges(num_layers), cells, **scale)
        bar = figure.colorbar(image, ax=axes, label="tokens of the frame that the layer holds", pad=0.01)
        bar.set_ticks(sorted({int(k) for k in np.linspace(1, highest, min(highest, 9)).round()}))
    axes.set_facecolor("#f4f4f4")
    axes.set_xlim(span[0], span[1] + period)
    axes.set_xlabel("time in the stream, seconds")
    _name_layers(axes, num_layers)
    _name_tiers(axes, found)
    _draw_thumbnails(above, thumbnails, (span[0], span[1] + period))
    set_title(above, "Which moments survive in which layer", about)
    if note:
        axes.text(0.5, 0.5, note, transform=axes.transAxes, ha="center", va="center", bbox=_NOTE)
    return figure


def draw_evidence(
    rows: Sequence[EvidenceRow],
    thumbnails: Thumbnails,
    *,
    span: tuple[float, float],
    period: float,
    about: str = "",
) -> Figure:
    """Draw on which moments each answer's attention rested.

    Args:
        rows: at least one answer.
        thumbnails: of the stream.
        span: first and last moment of the stream in seconds.
        period: seconds from one temporal patch to the next.
        about: model and memory.
    """
    figure = new_figure(_WIDTH, 1.9 + max(0.85 * len(rows), _MIN_ROWS_HEIGHT))
    heights = [0.9, *[max(1.0, _MIN_ROWS_HEIGHT / len(rows))] * len(rows)]
    above, *below = figure.subplots(1 + len(rows), sharex=True, height_ratios=heights)
    _draw_thumbnails(above, thumbnails, (span[0], span[1] + period))
    set_title(above, "Where the attention of each answer rested", about)
    label = "what decides the answer was on screen"
    for axes, row in zip(below, rows, strict=True):
        for start, end in _joined(row.spans):
            axes.axvspan(start, end, color=ORANGE, alpha=0.25, lw=0, label=label)
        shares = np.array(row.shares) * 100
        axes.bar(np.array(row.seconds), shares, width=period * 0.9, align="edge", color=BLUE)
        axes.set_title(shorten(row.title, _TITLE_LETTERS, placeholder=" ..."), fontsize=9, loc="left", pad=3)
        axes.set_ylim(0, max(5.0, 115 * max(row.shares, default=0.0)))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    below[-1].set_xlabel("time in the stream, seconds")
    below[-1].set_xlim(span[0], span[1] + period)
    figure.supylabel("share of the attention\nto the video, %", fontsize=10)
    legend_below(figure, below)
    return figure


def patch_period(temporal_patch_ids: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the median time in seconds from one temporal patch to the next; 1 if there is but one."""
    steps = np.diff(np.array(seconds)) / np.diff(np.array(temporal_patch_ids))
    return float(np.median(steps)) if len(steps) else 1.0


def _columns(seconds: Sequence[float], period: float) -> tuple[Any, Any]:
    """Return the edges of columns, and the index of the temporal patch that each shows; -1 is a gap."""
    starts = np.array(seconds)
    ends = np.minimum(starts + period, np.append(starts[1:], np.inf))
    shown = np.stack([np.arange(len(starts)), np.full(len(starts), -1)], axis=1).ravel()[:-1]
    return np.stack([starts, ends], axis=1).ravel(), shown


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the spans in order, those that overlap as one."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined


def _layers_height(num_layers: int) -> float:
    return float(np.clip(0.28 * num_layers, 2.2, 6.0))


def _layer_edges(num_layers: int) -> Any:
    return np.arange(num_layers + 1) - 0.5


def _ticked_layers(num_layers: int) -> range:
    return range(0, num_layers, -(-num_layers // _MAX_LAYER_TICKS))


def _name_layers(axes: Axes, num_layers: int) -> None:
    """Put the shallow layers at the top."""
    axes.set_ylim(num_layers - 0.5, -0.5)
    axes.set_yticks(_ticked_layers(num_layers))
    axes.set_ylabel("layer, shallow to deep")


def _mark_level(axes: Axes, level: float, meaning: str) -> None:
    """Draw a level, and say at the right edge what it means."""
    axes.axhline(level, color=GREY, lw=0.8, ls=":")
    axes.text(
        1.01, level, meaning, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5, color=GREY
    )


def _name_tiers(axes: Axes, found: MemoryMap) -> None:
    """Write beside each run of layers which tier it is, and how many summaries it has."""
    for tier, run in groupby(found.layers, key=lambda layer: layer.tier):
        layers = list(run)
        first, last = layers[0].layer_idx, layers[-1].layer_idx
        lines = [] if tier is None else [tier.replace("_", "-")]
        counts = [layer.num_summaries for layer in layers]
        if max(counts):
            number = " to ".join(map(str, sorted({min(counts), max(counts)})))
            lines.append(f"+ {number} {'summaries' if max(counts) > 1 else 'summary'}")
        beside = axes.get_yaxis_transform()
        axes.text(1.015, (first + last) / 2, "\n".join(lines), transform=beside, va="center", fontsize=8.5)
        if first:
            axes.axhline(first - 0.5, color="black", lw=1.0)


def _draw_thumbnails(axes: Axes, thumbnails: Thumbnails, span: tuple[float, float]) -> None:
    """Draw images along the time axis, each of a moment of the stretch that it stands for."""
    axes.set_ylim(0, 1)
    axes.set_axis_off()
    each = (span[1] - span[0]) / _NUM_THUMBNAILS
    for k in range(_NUM_THUMBNAILS):
        start = span[0] + k * each
        frame = thumbnails.of(start, start + each)
        if frame is not None:
            inset = axes.inset_axes((start + 0.03 * each, 0.0, 0.94 * each, 1.0), transform=axes.transData)
            inset.imshow(frame.image, aspect="equal", interpolation="nearest")
            inset.set_axis_off()
