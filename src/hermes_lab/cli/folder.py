"""The folder that a command writes: a document, and figures of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from hermes_stream.cli.output import complain, with_schema
from hermes_stream.digest.folder import as_json, write_whole
from hermes_stream.errors import MissingPackageError


def make_folder(out: Path, *, file: str | None = None) -> None:
    """Make a folder, and refuse what would fail only minutes or hours later.

    Args:
        out: the folder.
        file: one in it that will be added to.

    Raises:
        BadParameter: it cannot be made.
    """
    with written(out):
        out.mkdir(parents=True, exist_ok=True)
        if file is not None:
            (out / file).open("ab").close()


def can_draw() -> bool:
    """Tell whether figures can be drawn; warn where they are left out."""
    from hermes_lab.analysis.figures import check_matplotlib

    try:
        check_matplotlib()
    except MissingPackageError as error:
        complain(f"figures are left out: {error}", kind="warning")
        return False
    return True


@contextmanager
def written(out: Path) -> Iterator[None]:
    """Turn what the system says against writing into words.

    Args:
        out: what ``--out`` says.

    Raises:
        BadParameter: something in it cannot be written.
    """
    try:
        yield
    except OSError as error:
        from hermes_lab.datasets.files import shown  # the package takes numpy, which no help needs

        raise typer.BadParameter(
            f"{shown(out)} cannot be written: {error.strerror}; give a folder, and look at permissions and "
            "disk space",
            param_hint="--out",
        ) from error


def write_document(document: Mapping[str, Any], path: Path, *, figures: str | None) -> int:
    """Write a document, whole or not at all, and draw its figures beside it; return how many.

    Args:
        document: what is written.
        path: where.
        figures: module of ``analysis`` that draws them; None draws none.

    Raises:
        BadParameter: a file cannot be written.
    """
    with written(path.parent):
        write_whole(path, as_json(with_schema(document)))
        if figures is None:
            return 0
        plot = import_module(f"hermes_lab.analysis.{figures}").plot
        return len(plot(document, path.parent))
