"""The folder of a service: record, pictures, snapshots, journals; of one service at a time."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from hermes_stream.errors import StoreError

_LOCK = "service.lock"


class ServiceFolder:
    """Makes the folder and locks it. The lock goes with the program, however that ends.

    Args:
        path: of the folder; made if it is not there.
        shared: let others in that share it, too.

    Attributes:
        path: of the folder.

    Raises:
        StoreError: it cannot be made or written, or another service has it.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.path = path.resolve()
        try:
            # what a camera saw is nobody else's; a folder of several services may have several users
            self.path.mkdir(mode=0o777 if shared else 0o700, parents=True, exist_ok=True)
            for folder in (self.pictures, self.snapshots, self.journals):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] | None = (self.path / _LOCK).open("a+", encoding="ascii")
        except OSError as error:
            raise StoreError(
                f"the data folder {path} cannot be used: {error.strerror}; give a folder that may be written"
            ) from error
        if not _lock(self._lock, shared=shared):
            self._lock.close()
            raise StoreError(
                f"another service uses the data folder {path}; stop it, or give this one a folder of its own"
            )

    @property
    def pictures(self) -> Path:
        """Folder of pictures."""
        return self.path / "pictures"

    @property
    def snapshots(self) -> Path:
        """Folder of snapshots."""
        return self.path / "snapshots"

    @property
    def journals(self) -> Path:
        """Folder of journals."""
        return self.path / "journals"

    def close(self) -> None:
        """Let others use the folder; safe to repeat."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def is_served(path: Path) -> bool:
    """Tell whether a service runs over a folder.

    Raises:
        OSError: there is no such folder, or it may not be looked at.
    """
    with (path / _LOCK).open("r+", encoding="ascii") as file:
        return not _lock(file)


def _lock(file: IO[str], *, shared: bool = False) -> bool:
    """Lock a file for as long as it is open, for one or for all that share it; tell whether that worked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
    except OSError:
        return False
    os.set_inheritable(file.fileno(), False)
    return True


def folder_bytes(folder: Path) -> int:
    """Return what the files in a folder take."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_size
            except OSError:
                continue  # it was deleted meanwhile
    return total
