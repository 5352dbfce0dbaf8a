"""The folder that a command writes: a document, and figures of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from json import dumps
from pathlib import Path
from typing import Any

import typer


def make_folder(out: Path, *, plots: bool, file: str | None = None) -> None:
    """Make a folder, and refuse what would fail only minutes or hours later.

    Args:
        out: the folder.
        plots: whether figures are wanted.
        file: one in it that will be added to.

    Raises:
        BadParameter: it cannot be made, or figures are wanted that nothing can draw.
    """
    if plots and find_spec("matplotlib") is None:
        raise typer.BadParameter(
            "figures need matplotlib, which is not installed; pip install 'hermes-stream[lab]', or give "
            "--no-plots",
            param_hint="--plots",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        if file is not None:
            (out / file).open("ab").close()
    except OSError as error:
        raise typer.BadParameter(
            f"{out} cannot be written: {error.strerror}; give a folder", param_hint="--out"
        ) from error


def write_document(document: Mapping[str, Any], path: Path, *, figures: str | None) -> int:
    """Write a document, whole or not at all, and draw its figures beside it; return how many.

    Args:
        document: what is written.
        path: where.
        figures: module of ``analysis`` that draws them; None draws none.
    """
    part = path.with_name(f"{path.name}.part")
    part.write_text(dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(path)
    if figures is None:
        return 0
    plot = import_module(f"hermes_lab.analysis.{figures}").plot
    return len(plot(document, path.parent))
