"""Ending a long run on SIGTERM or SIGINT: what was done is kept, programs are ended, the exit code tells."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from hermes_stream.cli.output import complain

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ends_on_signals(out: Path | None) -> Iterator[None]:
    """End what runs within on SIGTERM or SIGINT, with exit code 143 or 130.

    Both raise ``KeyboardInterrupt`` where the program is, so that every ``finally`` on the way is run.

    Args:
        out: where the run is kept; None keeps none.

    Raises:
        Exit: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    came: list[int] = []

    def stop(number: int, _: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in _SIGNALS}
    try:
        yield
    except KeyboardInterrupt:
        if not came:
            raise
        how = f"with --out {out} again to go on" if out else "with --out next time to keep what is done"
        complain(f"stopped by {signal.Signals(came[0]).name}; start {how}", kind="warning")
        raise typer.Exit(128 + came[0]) from None
    finally:
        for one, reaction in before.items():
            signal.signal(one, reaction)
