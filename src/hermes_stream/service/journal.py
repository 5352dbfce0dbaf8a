"""What came to a stream since its last snapshot, on disk: snapshot and journal together are the memory.

A stream's thread writes to a queue; another one packs what is there and lets it last, in groups, twice a
second or so: that much may be lost. Numbers tell what a snapshot holds already (``stream.changes``).
"""

from __future__ import annotations

import logging
import math
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Protocol

from hermes_stream.service.change_records import ChangeWriter, decode, frames_of
from hermes_stream.service.segments import MAX_RECORD_BYTES, SEGMENT_BYTES, Segments
from hermes_stream.stream.changes import Change, FrameCame
from hermes_stream.video.frame import Frame

log = logging.getLogger(__name__)
_QUEUE_BYTES = 2**26
_CHANGE_BYTES = 256
COMMIT_SECONDS = 0.5


class Journal:
    """The changes of one stream, in files of a folder. Threads may share it.

    Args:
        folder: of the files; it is made.
        queue_bytes: what changes may take that are not on disk yet; beyond, the oldest are forgotten and the
            journal stops, until it begins behind a new snapshot.
        segment_bytes: of a file, about.
        copy: is given what was committed: the number of the first record, and all records.

    Attributes:
        num_cut_bytes: what was cut off at the end of files when they were opened: a change that was being
            written when the program was killed, or damage.

    Raises:
        OSError: the folder cannot be read or written.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        queue_bytes: int = _QUEUE_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        copy: Callable[[int, Sequence[bytes]], None] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._segments = Segments(self.folder, segment_bytes=segment_bytes)
        self.num_cut_bytes = self._segments.num_cut_bytes
        self._writer = ChangeWriter()
        self._queue_bytes, self._copy = queue_bytes, copy
        self._queue: deque[Change] = deque()
        self.num_queued_bytes = 0
        self._failure: str | None = None
        self._queue_lock, self._disk_lock = Lock(), Lock()

    def write(self, change: Change) -> None:
        """Queue a change to be written soon. Never waits for a disk, and never raises."""
        with self._queue_lock:
            self._queue.append(change)
            self.num_queued_bytes += _num_bytes(change)
            while self.num_queued_bytes > self._queue_bytes:
                forgotten = self._queue.popleft()
                self.num_queued_bytes -= _num_bytes(forgotten)
                self._stop(f"changes took more than {self._queue_bytes} bytes before they were on disk")

    def commit(self) -> None:
        """Write what is queued, and let it last; where that fails the journal stops (see ``failure``).

        What another thread has taken from the queue to write lasts, too, when this returns.
        """
        with self._disk_lock:
            if self._queue and self._failure is None:
                self._commit()

    def _commit(self) -> None:
        with self._queue_lock:
            batch = list(self._queue)
            expected = self._segments.next_number
            if batch and batch[0].number != expected:
                self._stop(f"change {batch[0].number} came, and {expected} was expected")
                return
            self._queue.clear()
            self.num_queued_bytes = 0
        try:
            records = [self._writer.encode(change.what) for change in batch]
            too_large = max((len(record) for record in records), default=0)
            if too_large > MAX_RECORD_BYTES:
                raise OSError(f"a change takes {too_large} bytes, and {MAX_RECORD_BYTES} are taken")
            self._segments.append(records)
            if self._copy is not None:
                self._copy(expected, records)
        except OSError as error:
            with self._queue_lock:  # a snapshot may begin in the midst of them
                self._queue.extendleft(reversed(batch))
                self.num_queued_bytes += sum(map(_num_bytes, batch))
            self._stop(str(error))

    def _stop(self, reason: str) -> None:
        if self._failure is None:
            self._failure = reason
            log.warning(
                "the journal %s has stopped: %s; it goes on behind the next snapshot", self.folder, reason
            )

    @property
    def failure(self) -> str | None:
        """Why nothing is written any more; None while all is well."""
        return self._failure

    @property
    def num_bytes(self) -> int:
        """Bytes on disk."""
        return self._segments.num_bytes

    @property
    def num_changes(self) -> int:
        """Number of the newest change that is on disk."""
        return self._segments.next_number - 1

    def changes(self, after: int = 0) -> Iterator[Change]:
        """Yield the changes that are on disk, in order.

        Args:
            after: changes up to this number are left out.

        Raises:
            SnapshotError: a record is none that this program writes.
        """
        for number, record in self._segments.read(after):
            yield decode(number, record)

    def frames(self, from_seconds: float = -math.inf, until_seconds: float = math.inf) -> Iterator[Frame]:
        """Yield the frames that came, in order; those outside of a time of the stream are not unpacked.

        Raises:
            SnapshotError: a record is none that this program writes.
        """
        return frames_of(self._segments.read(), from_seconds, until_seconds)

    def begin(self, num_changes: int) -> None:
        """Go on behind so many changes; what is on disk from there on is deleted, and a failure is over.

        Args:
            num_changes: of the stream, when it was restored or a snapshot of it was taken.

        Raises:
            OSError: the files cannot be changed.
        """
        with self._disk_lock:
            self._segments.begin(num_changes + 1)
            with self._queue_lock:
                while self._queue and self._queue[0].number <= num_changes:
                    self.num_queued_bytes -= _num_bytes(self._queue.popleft())
                self._failure = None

    def forget(self, num_changes: int) -> None:
        """Delete files of which a snapshot on disk holds all.

        Args:
            num_changes: of that snapshot; of the oldest one that may have to serve.

        Raises:
            OSError: a file cannot be deleted.
        """
        with self._disk_lock:
            self._segments.forget(num_changes)

    def close(self) -> None:
        """Write what is queued, and close the file; safe to repeat."""
        self.commit()
        with self._disk_lock:
            self._segments.close()

    def delete(self) -> None:
        """Delete the folder, with all that is queued."""
        with self._disk_lock, self._queue_lock:
            self._segments.close()
            self._queue.clear()
            self.num_queued_bytes = 0
            shutil.rmtree(self.folder, ignore_errors=True)


class _Replays(Protocol):
    @property
    def num_changes(self) -> int: ...

    def replay(self, changes: Iterable[Change]) -> int: ...


def replay(journal: Journal, stream: _Replays) -> int:
    """Do again what came since a stream's snapshot; tell how many changes that were.

    Args:
        journal: of the stream.
        stream: a session or a stream of an engine, restored from the snapshot.

    Raises:
        SnapshotError: changes are missing or damaged; those before are in the memory.
    """
    return stream.replay(journal.changes(stream.num_changes))


class Committer:
    """A thread that commits journals, so that what comes lasts soon.

    Args:
        every_seconds: from one commit to the next.

    Raises:
        ValueError: that is no positive number.
    """

    def __init__(self, *, every_seconds: float = COMMIT_SECONDS) -> None:
        if not 0 < every_seconds < float("inf"):
            raise ValueError(f"every_seconds must be a positive number of seconds, got {every_seconds}")
        self._every_seconds = every_seconds
        self._journals: list[Journal] = []
        self._lock, self._is_over = Lock(), Event()
        self._thread = Thread(target=self._run, name="hermes-journals", daemon=True)
        self._thread.start()

    def add(self, journal: Journal) -> None:
        """Commit this journal, too."""
        with self._lock:
            if journal not in self._journals:
                self._journals.append(journal)

    def remove(self, journal: Journal) -> None:
        """Leave this journal alone from now on; what is queued there waits for its own ``commit``."""
        with self._lock:
            self._journals = [one for one in self._journals if one is not journal]

    def close(self) -> None:
        """Commit once more, and end the thread; safe to repeat."""
        self._is_over.set()
        self._thread.join()

    def __enter__(self) -> Committer:
        """Return the committer; it is closed where the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._is_over.wait(self._every_seconds)
            with self._lock:
                journals = tuple(self._journals)
            for journal in journals:
                journal.commit()


def _num_bytes(change: Change) -> int:
    """Return about what a change takes while it is queued."""
    pixels = change.what.frame.image.nbytes if isinstance(change.what, FrameCame) else 0
    return _CHANGE_BYTES + pixels
