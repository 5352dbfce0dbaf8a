"""Ending a long run on SIGTERM or Ctrl-C: what was done is kept, programs are ended, the exit code tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hermes_stream.cli.interruption import interruptible
from hermes_stream.cli.output import print_json


@contextmanager
def goes_on_later(out: Path | None, *, as_json: bool) -> Iterator[None]:
    """End what runs within on SIGTERM or Ctrl-C, with exit code 143 or 130, and say how it goes on.

    Both are raised where the program is, so that every ``finally`` on the way is run.

    Args:
        out: where the run is kept; None keeps none.
        as_json: whether the end is a JSON document too.

    Raises:
        Exit: a signal came.
    """
    with interruptible() as ending:
        yield
    if out is None:
        done = "what was watched is lost; give --out to keep it"
    else:
        done = f"start again with --out {out} to go on"
    if as_json and ending.cause is not None:
        print_json(ending.document(done), schema="error")
    ending.leave(done)
