"""One stream's memory on disk: snapshots, and a journal of what came since; together they are the memory."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from hermes_stream.errors import SnapshotError
from hermes_stream.service.journal import Committer, Journal, replay
from hermes_stream.service.remote_journals import RemoteJournals
from hermes_stream.service.remote_snapshots import RemoteSnapshots
from hermes_stream.service.snapshots import Snapshots
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.handle import StreamHandle
from hermes_stream.stream.snapshot import Snapshot
from hermes_stream.video.frame import Frame

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedMemory:
    """A snapshot that was written.

    Attributes:
        path: of the file.
        epoch: of the stream.
        num_frames: that the stream had taken.
        newest_seconds: time of the newest of them; None where there was none.
        num_bytes: of the file.
    """

    path: Path
    epoch: int
    num_frames: int
    newest_seconds: float | None
    num_bytes: int


class MemoryOnDisk:
    """Keeps one stream's memory. The engine's thread records and restores; any thread writes.

    Args:
        snapshots: folder of the stream's snapshots.
        journal: folder of its journal; None keeps no journal.
        committer: writes journals every now and then.
        remote: keeps snapshots beyond this machine; None does not.
        remote_journals: keeps journals beyond this machine; None does not.
        by_epoch: keep a journal of each epoch, behind a snapshot of its own: what a former owner still
            writes to a shared folder is then read by nobody.
    """

    def __init__(
        self,
        snapshots: Path,
        journal: Path | None,
        committer: Committer,
        remote: RemoteSnapshots | None = None,
        *,
        remote_journals: RemoteJournals | None = None,
        by_epoch: bool = False,
    ) -> None:
        self._remote, self._by_epoch = remote, by_epoch
        self._folder, self._journal_folder = snapshots, journal
        self._snapshots = Snapshots(snapshots)
        self._committer = committer
        self._journal: Journal | None = None
        self._remote_journals = remote_journals
        self._saved_changes: int | None = None
        self._restored_epoch: int | None = None
        self._sent = (-1, 0)  # epoch and changes of the newest snapshot that is beyond this machine
        self._writing = Lock()

    def fetch(self) -> None:
        """Where nothing is on this machine, or what others wrote is newer, bring it from beyond it.

        Raises:
            SnapshotError: the store cannot be read.
        """
        own = self._snapshots.newest()
        if self._remote is None or (own is not None and not self._by_epoch):
            return
        try:
            self._remote.fetch(self._folder, newer_than="" if own is None else own.name)
            newest = self._snapshots.newest()
            if newest is not None and self._remote_journals is not None and self._journal_folder is not None:
                self._remote_journals.fetch(self._journal_folder, _epoch_of(newest))
        except Exception as error:  # each kind of store has errors of its own
            raise SnapshotError(
                f"snapshots at {self._remote.name} cannot be read ({error}); see to the store, and open the "
                "stream again"
            ) from error

    def restore(self, engine: Engine) -> StreamHandle | None:
        """Open the stream on an engine as it was; None where nothing of it is on disk.

        Raises:
            SnapshotError: there are snapshots, and none can be restored.
            CapacityError: the engine has no room.
        """
        if self._snapshots.newest() is None:
            return None
        path, handle = self._snapshots.restore_newest(lambda path: (path, engine.restore(path)))
        self._restored_epoch = _epoch_of(path)
        if self._journal_folder is not None:
            journal = self._open_journal(self._restored_epoch)
            try:
                replay(journal, handle)
            except SnapshotError as error:
                log.warning("a journal cannot be replayed to its end: %s", error)
            if self._by_epoch:  # another epoch has its own
                journal.close()
                self._journal = None
        return handle

    def begin(self, handle: StreamHandle, *, epoch: int) -> SavedMemory | None:
        """Record what comes from now on.

        Args:
            handle: of the stream, settled.
            epoch: of the stream.

        Returns:
            The first snapshot of all, or of an epoch with a journal of its own; None where there is one.
        """
        saved = None
        # after a failure of the engine the same epoch goes on, behind its own snapshot
        if (self._by_epoch and self._restored_epoch != epoch) or self._snapshots.newest() is None:
            saved = self.write(handle.snapshot(), epoch=epoch)
        if self._journal_folder is not None:
            self._forget_journals(epoch)
            journal = self._open_journal(epoch)
            journal.begin(handle.num_changes)
            handle.record(journal.write)
            self._committer.add(journal)
        return saved

    def begin_anew(self, handle: StreamHandle, *, epoch: int) -> SavedMemory:
        """Record from now on a memory that does not follow from what is on disk."""
        if self._by_epoch:
            self.close()  # the epoch before is over
        saved = None if self._by_epoch else self.write(handle.snapshot(), epoch=epoch)
        first = self.begin(handle, epoch=epoch) or saved
        assert first is not None
        return first

    def has_changed(self, handle: StreamHandle) -> bool:
        """Tell whether the memory is another than that of the newest snapshot of this run."""
        return handle.num_changes != self._saved_changes

    def write(self, snapshot: Snapshot, *, epoch: int, is_kept: bool = False) -> SavedMemory:
        """Write a snapshot, and let go what it makes needless.

        Args:
            snapshot: of the stream.
            epoch: of the stream.
            is_kept: somebody asked for it, and may delete it: nothing gives way to it.

        Raises:
            OSError: it cannot be written.
        """
        with self._writing:
            if self._journal is not None:
                # no snapshot is ahead of the journal: else there would be a hole behind the one before, which
                # may have to serve, should this one be damaged
                self._journal.commit()
            path = self._snapshots.write(snapshot, epoch=epoch, is_kept=is_kept)
            if self._remote is not None:
                # one that somebody asked for shortens no journal
                then = None if is_kept else self._when_sent(epoch, snapshot.num_changes)
                self._remote.send(path, then)
            if not is_kept:
                self._go_on_behind(snapshot)
        return SavedMemory(
            path=path,
            epoch=epoch,
            num_frames=snapshot.num_frames,
            newest_seconds=snapshot.newest_seconds,
            num_bytes=path.stat().st_size,
        )

    def _when_sent(self, epoch: int, num_changes: int) -> Callable[[Sequence[str]], None] | None:
        """Return what is done when a snapshot is beyond this machine: its journal there may be shorter."""
        journals = self._remote_journals
        if journals is None:
            return None

        def forget(names: Sequence[str]) -> None:
            (epoch_before, before), self._sent = self._sent, (epoch, num_changes)
            # the one before may have to serve, should this one be damaged
            number = before if epoch_before == epoch else 0
            kept = {int(name.partition("-")[0]) for name in names}
            journals.forget(self._folder.name, epoch, number, kept)

        return forget

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that is on disk here is where other replicas find it; tell whether it is."""
        parts = [one for one in (self._remote, self._remote_journals) if one is not None]
        unsent = [one for one in parts if not one.flush(timeout_seconds, self._folder.name)]
        return not unsent

    def _go_on_behind(self, snapshot: Snapshot) -> None:
        before, self._saved_changes = self._saved_changes, snapshot.num_changes
        if self._journal is None:
            return
        if self._journal.failure is not None:
            self._journal.begin(snapshot.num_changes)
        elif before is not None:
            # the snapshot before may have to serve, should this one be damaged
            self._journal.forget(before)

    @property
    def is_shared(self) -> bool:
        """Whether other replicas may go on with it."""
        return self._by_epoch

    @property
    def failure(self) -> str | None:
        """Why the journal stopped; None where it goes on."""
        return None if self._journal is None else self._journal.failure

    def path_of(self, name: str) -> Path:
        """Return where a snapshot lies.

        Args:
            name: of its file.
        """
        return self._folder / Path(name).name

    def frames(self, from_seconds: float = -math.inf, until_seconds: float = math.inf) -> Iterator[Frame]:
        """Yield the frames that came since the snapshots, as they are in the journal; any thread may ask.

        Args:
            from_seconds: not before this time of the stream.
            until_seconds: not after it.

        Raises:
            OSError: a file went meanwhile.
            SnapshotError: a record is damaged.
        """
        journal = self._journal
        if journal is not None:
            journal.commit()
            yield from journal.frames(from_seconds, until_seconds)

    def close(self) -> None:
        """Write what is recorded, and record no more; safe to repeat."""
        if self._journal is not None:
            self._committer.remove(self._journal)
            self._journal.commit()
            self._journal.close()
            self._journal = None

    def delete(self) -> None:
        """Delete all of it."""
        self.close()
        for folder in (self._folder, self._journal_folder):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        if self._remote is not None:
            self._remote.forget(self._folder.name)
        if self._remote_journals is not None:
            self._remote_journals.delete(self._folder.name)

    def _open_journal(self, epoch: int) -> Journal:
        assert self._journal_folder is not None
        if self._journal is None:
            folder = self._folder_of(epoch) if self._by_epoch else self._journal_folder
            copy = None if self._remote_journals is None else self._copy_of(self._remote_journals, epoch)
            self._journal = Journal(folder, copy=copy)
        return self._journal

    def _copy_of(self, journals: RemoteJournals, epoch: int) -> Callable[[int, Sequence[bytes]], None]:
        return lambda first, records: journals.append(self._folder.name, epoch, first, records)

    def _folder_of(self, epoch: int) -> Path:
        assert self._journal_folder is not None
        return self._journal_folder / f"{epoch:06d}"

    def _forget_journals(self, epoch: int) -> None:
        """Delete journals of epochs of which no snapshot is left."""
        assert self._journal_folder is not None
        if not self._by_epoch or not self._journal_folder.exists():
            return
        needed = {epoch, *(one.epoch for one in self._snapshots.list())}
        for folder in self._journal_folder.iterdir():
            if folder.name.isdigit() and int(folder.name) not in needed:
                shutil.rmtree(folder, ignore_errors=True)


def _epoch_of(snapshot: Path) -> int:
    return int(snapshot.name.partition("-")[0])
