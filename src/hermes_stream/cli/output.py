"""What every command prints the same way: JSON, complaints, progress, quantities."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on one line of standard output."""
    typer.echo(json.dumps(document, allow_nan=False))


def complain(message: str, *, kind: str = "error") -> None:
    """Print one message on standard error."""
    typer.echo(f"hermes: {kind}: {message}", err=True)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Show what takes long while it lasts, on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(f"{what} ...")):
        yield


@contextmanager
def progress_bar(what: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """Give a function that moves a bar to a number, drawn on standard error if that is a terminal.

    Args:
        what: a word or two before the bar.
        total: where the bar is full; None while nobody knows.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # Rows that are printed meanwhile go through the same terminal, above the bar.
    console = Console(stderr=not sys.stdout.isatty())
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def clock(seconds: float) -> str:
    """Write a moment as players do: 0:07, 1:02:03, with tenths where there are any."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    last = f"{rest // 10:02d}" + (f".{rest % 10}" if rest % 10 else "")
    return f"{hours}:{minutes:02d}:{last}" if hours else f"{minutes}:{last}"


def milliseconds(seconds: float) -> str:
    """Write a short time."""
    return f"{seconds * 1000:.0f} ms"


def size(num_bytes: float) -> str:
    """Write bytes in the unit that suits them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            break
        num_bytes /= 1000
    else:
        unit = "TB"
    return f"{num_bytes:.0f} {unit}" if unit == "bytes" or num_bytes >= 100 else f"{num_bytes:.1f} {unit}"
