"""The snapshots of one stream, in a folder: ``EPOCH-FRAME.safetensors``, the newest epoch and frame last.

One that somebody asked for is a file of its own, ``EPOCH-FRAME-CHANGE.safetensors``: whoever deletes it
deletes none that a restart needs, and no later one takes its place.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hermes_stream.errors import SnapshotError
from hermes_stream.stream.replacing import TEMPORARY_SUFFIX
from hermes_stream.stream.snapshot import Snapshot

log = logging.getLogger(__name__)
Restored = TypeVar("Restored")
_NAME = re.compile(r"(\d{1,18})-(\d{1,18})(?:-\d{1,18})?\.safetensors")


def is_snapshot(name: str) -> bool:
    """Tell whether a file's name is that of a snapshot."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class StoredSnapshot:
    """One file.

    Attributes:
        epoch: of the stream: how often its memory began to follow from another one than before.
        num_frames: of the stream.
        path: of the file.
        num_bytes: of the file.
    """

    epoch: int
    num_frames: int
    path: Path
    num_bytes: int


class Snapshots:
    """Writes, lists and restores. Threads may share it, as long as one writes.

    Args:
        folder: of the files; it is made. What an interrupted program left there half is deleted.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(f".*{TEMPORARY_SUFFIX}"):
            left.unlink(missing_ok=True)

    def write(self, snapshot: Snapshot, *, epoch: int, is_kept: bool = False) -> Path:
        """Write a snapshot, whole or not at all; one of the same epoch and frame is replaced.

        Args:
            snapshot: of the stream.
            epoch: of the stream, at least that of the snapshots before.
            is_kept: somebody asked for it: it is replaced by no other memory.

        Raises:
            SnapshotError: it cannot be written.
        """
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}")
        name = f"{epoch:06d}-{snapshot.num_frames:012d}"
        if is_kept:
            name += f"-{snapshot.num_changes:012d}"
        return snapshot.write(self.folder / f"{name}.safetensors")

    def list(self) -> tuple[StoredSnapshot, ...]:
        """Return all snapshots, the oldest first."""
        found = []
        for path in self.folder.iterdir():
            if match := _NAME.fullmatch(path.name):
                epoch, num_frames = map(int, match.groups())
                size = path.stat().st_size
                found.append(StoredSnapshot(epoch=epoch, num_frames=num_frames, path=path, num_bytes=size))
        return tuple(sorted(found))

    def newest(self) -> Path | None:
        """Return the newest snapshot; None where there is none."""
        stored = self.list()
        return stored[-1].path if stored else None

    def restore_newest(self, restore: Callable[[Path], Restored]) -> Restored:
        """Restore the newest snapshot that can be.

        Args:
            restore: makes a stream of a file, and raises ``SnapshotError`` for one that is damaged.

        Raises:
            SnapshotError: there is none, or none can be restored; the newest one's reason.
        """
        first: SnapshotError | None = None
        for stored in reversed(self.list()):
            try:
                return restore(stored.path)
            except SnapshotError as error:
                log.warning("snapshot %s is left out: %s", stored.path, error)
                first = first or error
        raise first or SnapshotError(f"there is no snapshot in {self.folder}; open the stream anew")

    def keep(self, num_newest: int) -> tuple[Path, ...]:
        """Delete all but the newest snapshots; return what was deleted.

        Args:
            num_newest: that stay, at least 1.

        Raises:
            OSError: one cannot be deleted.
            ValueError: none would stay.
        """
        if num_newest < 1:
            raise ValueError(f"num_newest must be at least 1, got {num_newest}")
        gone = tuple(stored.path for stored in self.list()[:-num_newest])
        for path in gone:
            self.delete(path)
        return gone

    def delete(self, path: Path) -> None:
        """Delete one snapshot.

        Raises:
            ValueError: it is none of this folder's.
        """
        if path.parent != self.folder or not _NAME.fullmatch(path.name):
            raise ValueError(f"{path} is no snapshot of {self.folder}")
        path.unlink(missing_ok=True)
