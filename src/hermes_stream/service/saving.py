"""Memories on their way to disk, and the rows that say which are there."""

from __future__ import annotations

import time
from pathlib import Path

from hermes_stream.errors import UnknownSnapshotError
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
    """

    def __init__(self, root: Path, store: Store, thread: EngineThread) -> None:
        self._root, self._store, self._thread = root, store, thread

    def save(self, served: ServedStream, *, always: bool = False) -> SnapshotStatus | None:
        """Write an open stream's memory to disk; None where it is there already, or there is none.

        Args:
            served: the stream.
            always: write it even if it has not changed.

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
        return self.record(served, disk.write(snapshot, epoch=served.row.epoch))

    def record(self, served: ServedStream, saved: SavedMemory) -> SnapshotStatus:
        """Make the row of a snapshot, and drop rows whose files are gone."""
        rows = self._store.snapshots
        status = rows.add(
            served.row.id,
            epoch=saved.epoch,
            path=saved.path.resolve().relative_to(self._root).as_posix(),
            pts_seconds=saved.newest_seconds,
            num_frames=saved.num_frames,
            num_bytes=saved.num_bytes,
            created_wall_seconds=time.time(),
        )
        gone = [one.id for one in rows.read(served.row.id) if not (self._root / one.path).exists()]
        if gone:
            rows.remove(gone)
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
        known = self._store.snapshots.read(stream_id)
        for one in reversed(known):
            if number in (None, one.id):
                return one
        numbers = ", ".join(str(one.id) for one in known) or "none"
        raise UnknownSnapshotError(f"there is no snapshot {number} of this stream; snapshots: {numbers}")

    def path_of(self, snapshot: SnapshotStatus) -> Path:
        """Return where a snapshot's file lies."""
        return self._root / snapshot.path

    def delete(self, snapshot: SnapshotStatus) -> None:
        """Delete a snapshot."""
        self.path_of(snapshot).unlink(missing_ok=True)
        self._store.snapshots.remove([snapshot.id])
