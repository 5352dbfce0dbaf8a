"""What every command prints the same way: text, JSON, complaints, progress, quantities."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

from hermes_stream._version import __version__

if TYPE_CHECKING:
    from rich.console import Console

COMMAND: ContextVar[str] = ContextVar("COMMAND", default="hermes")
"""Name of the command that runs, which its documents name in their schema."""

_WIDTH_WITHOUT_TERMINAL = 120


def say(text: str = "", *, end: str = "\n", err: bool = False) -> None:
    """Write text on standard output, or on standard error, in the encoding that it has.

    Args:
        text: letters that the encoding lacks are replaced.
        end: what follows it.
        err: choose standard error.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(f"{text}{end}")
    stream.flush()


def print_json(document: Mapping[str, Any], *, schema: str | None = None) -> None:
    """Print one JSON document on one line of standard output.

    Args:
        document: what it says.
        schema: what it is; the command that runs names it where this is None.
    """
    say(json.dumps(with_schema(document, schema=schema), allow_nan=False))


def with_schema(document: Mapping[str, Any], *, schema: str | None = None) -> dict[str, Any]:
    """Return a document, opened by what it is, such as ``hermes.ask/1``, and by this package's version."""
    return {"schema": f"hermes.{schema or COMMAND.get()}/1", "version": __version__, **document}


def complain(message: str, *, kind: str = "error") -> None:
    """Print one message on standard error."""
    say(f"hermes: {kind}: {message}", err=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person sits at a standard stream; at one that is closed, nobody does."""
    return stream is not None and stream.isatty()


def encodes(text: str, stream: TextIO | None = None) -> bool:
    """Tell whether a stream can show a text as it is; standard output where none is named."""
    try:
        text.encode((stream or sys.stdout).encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def mark(*, is_right: bool) -> str:
    """Return a check mark or a cross, or a word where the terminal has neither."""
    if encodes("\u2713\u2717"):
        return "\u2713" if is_right else "\u2717"
    return "right" if is_right else "wrong"


def say_lines(lines: Mapping[str, str], *, indent: int = 2) -> None:
    """Print lines of a name and a text, the texts below each other and folded where the screen ends."""
    width = max(map(len, lines))
    for name, text in lines.items():
        opening = f"{'':{indent}}{name:{width}}  "
        say(
            textwrap.fill(
                text,
                max(screen_width(), len(opening) + 20),
                initial_indent=opening,
                subsequent_indent=" " * len(opening),
                break_long_words=False,
                break_on_hyphens=False,
            )
            or opening.rstrip()
        )


def screen_width() -> int:
    """Return the columns of the terminal, or those that ``COLUMNS`` asks for; wide where there is neither."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return _WIDTH_WITHOUT_TERMINAL


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Show what takes long while it lasts, on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    spinner = "dots" if encodes("\u280b", sys.stderr) else "line"
    with Console(stderr=True).status(Text(f"{what} ..."), spinner=spinner):
        yield


def screen() -> Console:
    """Return what tables are printed on: standard output, wide where it is no terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else screen_width())


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
