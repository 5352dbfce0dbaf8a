"""What all figures share: colours, markers, legends, files.

matplotlib is imported when a figure is made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_stream.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

ORANGE, PURPLE, BLUE, GREY, PALE = "#ea580c", "#7c3aed", "#1d4ed8", "#52525b", "#a1a1aa"
MARKERS = "osD^vP*X<>"
DPI = 130
_NEAR_ORANGE = (2, 3)


def check_matplotlib() -> None:
    """Make sure that figures can be drawn, before hours went into what they show.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "matplotlib is not installed, and figures need it; install it with: "
            'pip install "hermes-stream[lab]"'
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path, *, dpi: int = DPI) -> None:
    """Write a figure; the same values give the same bytes."""
    figure.savefig(path, dpi=dpi, metadata={"Software": None})


def save_all(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures as PNG files of their names, and return the files.

    Args:
        figures: by name.
        folder: must exist.
    """
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in figures]


def colours_of(names: Sequence[str], references: Collection[str]) -> dict[str, Any]:
    """Return a colour for each name: orange for references, shades unlike orange for the others."""
    from matplotlib import colormaps

    every = colormaps["tab20"].colors  # type: ignore[attr-defined]
    strong_first = [*range(0, len(every), 2), *range(1, len(every), 2)]
    shades = [every[k] for k in strong_first if k not in _NEAR_ORANGE]
    others = [name for name in names if name not in references]
    found = {name: shades[k % len(shades)] for k, name in enumerate(others)}
    return {name: found.get(name, ORANGE) for name in names}


def set_title(axes: Axes, text: str, about: str) -> None:
    """Write above a panel what it shows, and below that of which model and memory."""
    axes.set_title(f"{text}\n{about}" if about else text, fontsize=11)


def write_plain_numbers(axis: Axis) -> None:
    """Write the ticks of an axis as people write numbers, at 1, 2 and 5 of each decade of a log scale.

    Call it when all is drawn: a part of a decade gets even steps.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = axis.get_view_interval()
    if axis.get_scale() == "log":
        is_short = high < 10 * low
        axis.set_major_locator(MaxNLocator(5) if is_short else LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_below(figure: Figure, panels: Sequence[Axes], *, ncols: int = 3) -> None:
    """Name each kind of line once, below everything."""
    named: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    if named:
        figure.legend(named.values(), named, loc="outside lower center", ncols=ncols, fontsize=8)
