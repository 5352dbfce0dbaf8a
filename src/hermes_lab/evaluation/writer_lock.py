"""One writer at a time: a file that the system locks for a program and frees when the program ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hermes_stream.errors import AnnotationError

_FAR = 1 << 20

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[str]) -> None:
        file.seek(_FAR)  # no other program can read a byte that is locked there
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    _LOCK_ERRORS: tuple[type[OSError], ...] = (PermissionError, OSError)
else:
    import fcntl

    def _try_lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    _LOCK_ERRORS = (BlockingIOError,)


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Be the only program that writes what a file stands for, until the context ends.

    The file stays, so that nobody locks one that another program is about to remove; what a program that was
    killed left is taken over. Where a file system has no locks, nothing is refused.

    Args:
        path: the file; its folder must exist.

    Raises:
        AnnotationError: another program has it, or it cannot be written.
    """
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise AnnotationError(f"{path} cannot be written: {error.strerror}; check permissions") from error
    with file:
        try:
            _try_lock(file)
        except _LOCK_ERRORS as error:
            file.seek(0)
            holder = file.read(64).strip() or "unknown"
            raise AnnotationError(
                f"{path.parent} is written by another program (process {holder}); wait until it has ended, "
                "or give another folder"
            ) from error
        except OSError:
            yield
            return
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
