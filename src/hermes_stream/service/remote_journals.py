"""Journals beyond this machine: what is appended here goes there in pieces; an object store appends nothing.

A piece is a file of the journal as any other (``service.segments``), named by its first number, in a folder
of its stream and epoch. What a former owner still sends lies in the folder of its own epoch, unread.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from hermes_stream.service.remote_snapshots import open_store, shown_store
from hermes_stream.service.segments import SUFFIX, piece_of
from hermes_stream.service.snapshots import is_snapshot

log = logging.getLogger(__name__)
_QUEUE_BYTES = 2**25
_TRY_AGAIN_SECONDS = 5.0
_Place = tuple[str, int]


@dataclass(slots=True)
class _Waiting:
    """What of one journal is not there yet: records one by one, from a number on."""

    first: int
    payloads: list[bytes] = field(default_factory=list)
    num_bytes: int = 0

    @property
    def next(self) -> int:
        return self.first + len(self.payloads)


class RemoteJournals:
    """Sends what journals append, in a thread of its own: a slow network holds no stream up.

    What waits is bounded: beyond, it is forgotten, and what comes later is of use behind the next snapshot.
    Threads may share it.

    Args:
        url: of a folder, as that of ``RemoteSnapshots``.
        every_seconds: from one piece of a journal to the next: what a death may lose, and what each costs.
        queue_bytes: of one journal that may wait.

    Raises:
        SettingsError: the address is none that is known.
        MissingPackageError: the package of this kind of store is not installed.
    """

    def __init__(self, url: str, *, every_seconds: float, queue_bytes: int = _QUEUE_BYTES) -> None:
        self.name = shown_store(url)
        self._files, self._root = open_store(url)
        self._every_seconds, self._queue_bytes = every_seconds, queue_bytes
        self.failure: str | None = None
        self.num_forgotten = 0
        self._waiting: dict[_Place, _Waiting] = {}
        self._sending: _Place | None = None
        self._changed = Condition()
        self._is_urgent = self._is_closing = False
        self._thread = Thread(target=self._run, name="hermes-remote-journals", daemon=True)
        self._thread.start()

    def append(self, folder: str, epoch: int, first: int, payloads: Sequence[bytes]) -> None:
        """Have records sent soon. Never waits and never raises.

        Args:
            folder: of the stream.
            epoch: of the stream.
            first: number of the first record.
            payloads: of the records, in order.
        """
        with self._changed:
            waiting = self._waiting.setdefault((folder, epoch), _Waiting(first=first))
            if waiting.next != first:
                waiting.first, waiting.payloads, waiting.num_bytes = first, [], 0
            waiting.payloads += payloads
            waiting.num_bytes += sum(map(len, payloads))
            if waiting.num_bytes > self._queue_bytes:
                self.num_forgotten += len(waiting.payloads)
                log.warning("of the journal of stream %s too much waits for %s", folder, self.name)
                waiting.first, waiting.payloads, waiting.num_bytes = waiting.next, [], 0
            self._changed.notify_all()

    def fetch(self, folder: Path, epoch: int) -> bool:
        """Copy a stream's journal of an epoch to this machine, where it has none; tell whether there was one.

        Args:
            folder: of the stream's journals here.
            epoch: of the snapshot that is to be gone on from.

        Raises:
            OSError: the store cannot be read.
        """
        own, part = folder / f"{epoch:06d}", folder / f".{epoch:06d}.part"
        pieces = [] if own.exists() else self._pieces(folder.name, epoch)
        if not pieces:
            return False
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name in pieces:
            self._files.get_file(f"{self._place(folder.name, epoch)}/{name}", str(part / name))
        part.rename(own)  # whole or not at all
        return True

    def forget(self, folder: str, epoch: int, number: int, kept_epochs: Container[int]) -> None:
        """Delete what the snapshots there make needless; what cannot be deleted stays, and is logged.

        Args:
            folder: of the stream.
            epoch: of the stream.
            number: up to which no record of this epoch is needed.
            kept_epochs: epochs of which there are snapshots.
        """
        try:
            pieces = self._pieces(folder, epoch)
            firsts = [int(name.partition(".")[0]) for name in pieces]
            for name, following in zip(pieces, firsts[1:], strict=False):
                if following <= number + 1:
                    self._files.rm_file(f"{self._place(folder, epoch)}/{name}")
            for other in self._epochs(folder):
                if other < epoch and other not in kept_epochs:
                    self._files.rm(self._place(folder, other), recursive=True)
        except Exception as error:  # each kind of store has errors of its own
            log.warning("pieces of the journal of stream %s stay at %s: %s", folder, self.name, error)

    def delete(self, folder: str) -> None:
        """Delete all of a stream; what cannot be deleted stays, and is logged."""
        with self._changed:
            self._waiting = {place: one for place, one in self._waiting.items() if place[0] != folder}
        try:
            for epoch in self._epochs(folder):
                self._files.rm(self._place(folder, epoch), recursive=True)
        except Exception as error:  # each kind of store has errors of its own
            log.warning("journals of stream %s stay at %s: %s", folder, self.name, error)

    def flush(self, timeout_seconds: float, folder: str | None = None) -> bool:
        """Wait until all is sent; tell whether it is.

        Args:
            timeout_seconds: how long at most.
            folder: of one stream, where others go on; None is all.
        """
        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
            is_sent = self._changed.wait_for(lambda: self._is_idle(folder), timeout_seconds)
            self._is_urgent = False
            return is_sent

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Send what waits, and stop; safe to repeat."""
        if not self.flush(timeout_seconds if self.failure is None else min(1.0, timeout_seconds)):
            log.warning("journals were not sent to %s whole", self.name)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)

    def _is_idle(self, folder: str | None = None) -> bool:
        places = [place for place, one in self._waiting.items() if one.payloads or place == self._sending]
        return not places if folder is None else folder not in {name for name, _ in places}

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or not self._is_idle())
                if self._is_closing:
                    return
                due = [place for place, one in self._waiting.items() if one.payloads]
            for place in due:
                self._send(place)
            pause_seconds = self._every_seconds if self.failure is None else _TRY_AGAIN_SECONDS
            with self._changed:
                left = pause_seconds - (time.monotonic() - began)
                self._changed.wait_for(self._hurries, max(0.0, left))

    def _hurries(self) -> bool:
        return self._is_closing or (self._is_urgent and self.failure is None)

    def _send(self, place: _Place) -> None:
        with self._changed:
            waiting = self._waiting.get(place)
            if waiting is None or not waiting.payloads:
                return
            first, payloads = waiting.first, tuple(waiting.payloads)
            self._sending = place
        try:
            self._put(place, first, payloads)
            self.failure = None
        except Exception as error:  # each kind of store has errors of its own
            if self.failure is None:
                log.warning("journals cannot be sent to %s (%s); tried again", self.name, error)
            self.failure = f"{type(error).__name__}: {error}"
        with self._changed:
            self._sending = None
            if self.failure is None and waiting.first == first:
                del waiting.payloads[: len(payloads)]
                waiting.first += len(payloads)
                waiting.num_bytes = sum(map(len, waiting.payloads))
                if not waiting.payloads and self._waiting.get(place) is waiting:
                    del self._waiting[place]
            self._changed.notify_all()

    def _put(self, place: _Place, first: int, payloads: Sequence[bytes]) -> None:
        folder = self._place(*place)
        self._files.makedirs(folder, exist_ok=True)
        # whole or not at all: a name in the store never stands for a part of a file
        with self._files.transaction, self._files.open(f"{folder}/{first:016d}{SUFFIX}", "wb") as file:
            file.write(piece_of(first, payloads))

    def _place(self, folder: str, epoch: int) -> str:
        return f"{self._root}/{folder}/{epoch:06d}"

    def _epochs(self, folder: str) -> list[int]:
        return [int(name) for name in self._names(f"{self._root}/{folder}") if name.isdecimal()]

    def _pieces(self, folder: str, epoch: int) -> list[str]:
        return [name for name in self._names(self._place(folder, epoch)) if name.endswith(SUFFIX)]

    def _names(self, folder: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            found: list[Any] = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        names = [str(one).rstrip("/").rpartition("/")[2] for one in found]
        return sorted(name for name in names if not is_snapshot(name))
