"""Files of a run: written in one step, or line by line so that a kill leaves whole lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hermes_lab.datasets.files import read_text, shown
from hermes_stream.errors import AnnotationError

Lines = list[dict[str, Any]]


def replace_file(path: Path, text: str) -> None:
    """Write a file in one step, so that a kill leaves the old one or the new one.

    Raises:
        AnnotationError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error


def append_lines(path: Path, lines: Lines) -> None:
    """Add lines to a file, and have the disk hold them.

    Raises:
        AnnotationError: it cannot be written.
    """
    if not lines:
        return
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(path, error) from error


def whole_lines(path: Path) -> Lines:
    """Return the lines of a file that this module wrote, but for a last one that a kill cut short.

    Raises:
        AnnotationError: the file cannot be read, or another line is not JSON.
    """
    whole, _, _ = read_text(path).rpartition("\n")
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is not JSON: {error}; remove it, and start again") from error
    return [line for line in lines if isinstance(line, dict)]


def unwritable(path: Path, error: OSError) -> AnnotationError:
    """Return the error for a file that cannot be written."""
    return AnnotationError(
        f"{shown(path)} cannot be written: {error.strerror}; check permissions and disk space"
    )
