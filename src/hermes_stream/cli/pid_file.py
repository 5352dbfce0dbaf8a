"""The number of the program that serves a folder, so that another command can reach it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = "serve.pid"


@contextmanager
def pid_file(folder: Path) -> Iterator[None]:
    """Note this program's number in a service's folder, which belongs to one program at a time."""
    file = folder / _NAME
    file.write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def read_pid(folder: Path) -> int:
    """Return the number of the program that serves a folder.

    Raises:
        ValueError: none does.
    """
    from hermes_stream.service.service_folder import is_served

    try:
        # a program that was killed leaves its number, which may be another's by now
        if not is_served(folder):
            raise ValueError("nobody has its lock")
        number = int((folder / _NAME).read_text(encoding="ascii"))
        os.kill(number, 0)  # raises where there is no such program
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no service runs over {folder}; give --data DIR as 'hermes serve' was given it"
        ) from error
    return number
