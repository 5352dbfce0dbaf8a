"""Memories on their way to disk, and the rows that say which are there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from hermes_stream.errors import SnapshotError, UnknownSnapshotError
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.service.memory_on_disk import SavedMemory
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.status import SnapshotStatus
from hermes_stream.service.store import Store


class Saving:
    """Saves memories of open streams. Threads may share it.

    Args:
        root: the data folder.
        store: the record.
        thread: of the engine.
        keep_snapshots: of those of a stream that nobody asked for, the newest that are kept.
    """

    def __init__(self, root: Path, store: Store, thread: EngineThread, *, keep_snapshots: int) -> None:
        self._keep_snapshots = keep_snapshots
        self._root, self._store, self._thread = root, store, thread

    def save(self, served: ServedStream, *, always: bool = False) -> SnapshotStatus | None:
        """Write an open stream's memory to disk; None where it is there already, or there is none.

        Args:
            served: the stream.
            always: write it even if it has not changed, and keep it: somebody asks for it.

        Raises:
            OSError: it cannot be written.
            SnapshotError: the policy cannot be written.
            ClosedError: the engine has stopped.
        """
        live, disk = served.live, served.disk
        if live is None or disk is None:
            return None
        if not always and not self._thread.run(lambda _: disk.has_changed(live.handle)):
            return None
        # the copy is quick, and belongs to the engine's thread; to write it is slow, and does not
        snapshot = self._thread.run(lambda _: live.handle.snapshot())
        saved = disk.write(snapshot, epoch=served.row.epoch, is_kept=always)
        return self.record(served, saved, is_kept=always)

    def record(self, served: ServedStream, saved: SavedMemory, *, is_kept: bool = False) -> SnapshotStatus:
        """Make the row of a snapshot, and let older ones give way.

        Args:
            served: the stream.
            saved: that was written.
            is_kept: somebody asked for it, and it stays.
        """
        rows = self._store.snapshots
        status = rows.add(
            served.row.id,
            epoch=saved.epoch,
            path=saved.path.resolve().relative_to(self._root).as_posix(),
            pts_seconds=saved.newest_seconds,
            num_frames=saved.num_frames,
            num_bytes=saved.num_bytes,
            created_wall_seconds=time.time(),
            is_kept=is_kept,
        )
        known = rows.read(served.row.id)
        passing = [one for one in known if not one.is_kept]
        gone = [one for one in known if not self.path_of(one).exists()] + passing[: -self._keep_snapshots]
        for one in gone:
            self.path_of(one).unlink(missing_ok=True)
        if gone:
            rows.remove([one.id for one in gone])
        served.tell("snapshot_saved", pts_seconds=saved.newest_seconds, snapshot=status.id)
        return status

    def find(self, stream_id: int, number: int | None) -> SnapshotStatus:
        """Return a snapshot of a stream.

        Args:
            stream_id: number of the stream.
            number: of the snapshot; None is the newest.

        Raises:
            UnknownSnapshotError: there is none.
        """
        return _among(self._store.snapshots.read(stream_id), number)

    def path_of(self, snapshot: SnapshotStatus) -> Path:
        """Return where a snapshot's file lies."""
        return self._root / snapshot.path

    def delete(self, stream_id: int, number: int) -> None:
        """Delete a snapshot of a stream.

        Args:
            stream_id: number of the stream.
            number: of the snapshot.

        Raises:
            UnknownSnapshotError: there is none.
            SnapshotError: it is the newest that nobody asked for: with the journal it is the memory.
        """
        known = self._store.snapshots.read(stream_id)
        snapshot = _among(known, number)
        if [one for one in known if not one.is_kept][-1:] == [snapshot]:
            raise SnapshotError(
                f"snapshot {snapshot.id} is the one that stream {snapshot.stream!r} comes back from after a "
                "restart; it gives way to the next by itself, and goes with the stream when that is deleted"
            )
        self.path_of(snapshot).unlink(missing_ok=True)
        self._store.snapshots.remove([snapshot.id])


def _among(known: Sequence[SnapshotStatus], number: int | None) -> SnapshotStatus:
    for one in reversed(known):
        if number in (None, one.id):
            return one
    numbers = ", ".join(str(one.id) for one in known) or "none"
    raise UnknownSnapshotError(f"there is no snapshot {number} of this stream; snapshots: {numbers}")
