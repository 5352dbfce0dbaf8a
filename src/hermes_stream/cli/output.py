"""What every command prints the same way: JSON, complaints, progress, quantities."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 120


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


def screen() -> Console:
    """Return what tables are printed on: standard output, wide where it is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


@contextmanager
def progress_bar(
    what: str, total: float | None, *, above: Console | None = None
) -> Iterator[Callable[[float], None]]:
    """Give a function that moves a bar to a number, drawn on standard error if that is a terminal.

    Args:
        what: a word or two before the bar.
        total: where the bar is full; None while nobody knows.
        above: where rows are printed meanwhile; on a terminal the bar then stays below them.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = above if above is not None and above.is_terminal else Console(stderr=True)
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
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = 0
    while num_bytes >= 1000 and power < len(units) - 1:
        num_bytes /= 1000
        power += 1
    return f"{num_bytes:.{int(power > 0 and num_bytes < 100)}f} {units[power]}"
