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


def legend_below(figure: Figure, panels: Sequence[Axes], *, ncols: int = 3) -> None:
    """Name each kind of line once, below everything."""
    named: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    if named:
        figure.legend(named.values(), named, loc="outside lower center", ncols=ncols, fontsize=8)
