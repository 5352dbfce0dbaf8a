"""Snapshots beyond this machine: the newest of each stream in an object store that fsspec reads."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import Any
from urllib.parse import urlsplit

import fsspec

from hermes_stream.errors import MissingPackageError, SettingsError
from hermes_stream.service.snapshots import is_snapshot

log = logging.getLogger(__name__)
_TRY_AGAIN_SECONDS = 30.0
Then = Callable[[Sequence[str]], None]


def open_store(url: str) -> tuple[Any, str]:
    """Return what reads and writes a store, and the folder in it; nothing is connected to yet.

    Raises:
        SettingsError: the address is none that is known.
        MissingPackageError: the package of this kind of store is not installed.
    """
    try:
        files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        raise MissingPackageError(
            f"snapshots_url: {shown_store(url)} is read by a package of its own, which is missing ({error})"
        ) from error
    except ValueError as error:
        raise SettingsError(
            f"snapshots_url: there is no kind of store at {shown_store(url)}; give such as s3://bucket/folder"
        ) from error
    return files, root.rstrip("/")


def shown_store(url: str) -> str:
    """Return an address without what may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme or 'file'}://{parts.hostname or ''}"


class RemoteSnapshots:
    """Copies what is written on this machine, in a thread of its own: a slow network holds no stream up.

    Of what a stream wrote meanwhile only the newest is sent. Threads may share it.

    Args:
        url: of a folder, ``s3://bucket/folder``, ``gs://...``, ``file:///mnt/shared``; credentials are where
            the store's own tools look for them.
        num_kept: of each stream, the newest.

    Raises:
        SettingsError: the address is none that is known.
        MissingPackageError: the package of this kind of store is not installed.
    """

    def __init__(self, url: str, *, num_kept: int) -> None:
        self._num_kept = num_kept
        self.name = shown_store(url)
        self._files, self._root = open_store(url)
        self.failure: str | None = None
        self._waiting: dict[str, tuple[Path, Then | None]] = {}
        self._changed = Condition()
        self._is_closing = False
        self._thread = Thread(target=self._run, name="hermes-remote-snapshots", daemon=True)
        self._thread.start()

    def send(self, path: Path, then: Then | None = None) -> None:
        """Have a snapshot copied soon; its folder is named like that of its stream.

        Args:
            path: of its file.
            then: is called when it is there, in the thread that sends; with the names of all that are.
        """
        with self._changed:
            self._waiting[path.parent.name] = path, then
            self._changed.notify_all()

    def fetch(self, folder: Path, *, newer_than: str = "") -> Path | None:
        """Copy a stream's newest snapshot to its folder on this machine; None where there is none.

        Args:
            folder: of the stream's snapshots here.
            newer_than: name of one that is here already.

        Raises:
            OSError: the store cannot be read.
        """
        names = self._names(folder.name)
        if not names or names[-1] <= newer_than:
            return None
        path, part = folder / names[-1], folder / f".{names[-1]}.part"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._files.get_file(f"{self._root}/{folder.name}/{names[-1]}", str(part))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        log.info("snapshot %s was fetched from %s", path.name, self.name)
        return path

    def forget(self, folder: str) -> None:
        """Delete all snapshots of a stream; what cannot be deleted stays, and is logged."""
        with self._changed:
            self._waiting.pop(folder, None)
        try:
            self._delete(folder, self._names(folder))
        except Exception as error:  # each kind of store has errors of its own
            log.warning("snapshots of stream %s stay at %s: %s", folder, self.name, error)

    def flush(self, timeout_seconds: float, folder: str | None = None) -> bool:
        """Wait until all is sent; tell whether it is.

        Args:
            timeout_seconds: how long at most.
            folder: of one stream, where others go on; None is all.
        """

        def is_sent() -> bool:
            return not self._waiting if folder is None else folder not in self._waiting

        with self._changed:
            return self._changed.wait_for(is_sent, timeout_seconds)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Send what waits, and stop; safe to repeat.

        Args:
            timeout_seconds: how long that may take.
        """
        if not self.flush(timeout_seconds if self.failure is None else min(1.0, timeout_seconds)):
            log.warning("%d snapshots were not sent to %s", len(self._waiting), self.name)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                if self._is_closing:
                    return
                folder, (path, then) = next(iter(self._waiting.items()))
            is_sent = self._send(folder, path, then)
            with self._changed:
                if is_sent and self._waiting.get(folder) == (path, then):
                    del self._waiting[folder]
                    self._changed.notify_all()
                if not is_sent:
                    self._changed.wait_for(lambda: self._is_closing, _TRY_AGAIN_SECONDS)

    def _send(self, folder: str, path: Path, then: Then | None) -> bool:
        try:
            self._copy(path, f"{self._root}/{folder}/{path.name}")
            names = self._names(folder)
            self._delete(folder, names[: -self._num_kept])
            if then is not None:
                then(names[-self._num_kept :])
        except FileNotFoundError:
            return not path.exists()  # a newer one has taken its place, and is sent itself
        except Exception as error:  # each kind of store has errors of its own
            self.failure = f"{type(error).__name__}: {error}"
            log.warning("a snapshot cannot be sent to %s (%s); tried again", self.name, self.failure)
            return False
        self.failure = None
        return True

    def _copy(self, path: Path, to: str) -> None:
        self._files.makedirs(to.rpartition("/")[0], exist_ok=True)
        # whole or not at all: a name in the store never stands for a part of a file
        with path.open("rb") as source, self._files.transaction, self._files.open(to, "wb") as file:
            shutil.copyfileobj(source, file, 1024 * 1024)

    def _names(self, folder: str) -> list[str]:
        """Return a stream's snapshots, the oldest first."""
        self._files.invalidate_cache()
        try:
            found: list[Any] = self._files.ls(f"{self._root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        return sorted(name for one in found if is_snapshot(name := str(one).rpartition("/")[2]))

    def _delete(self, folder: str, names: Sequence[str]) -> None:
        for name in names:
            try:
                self._files.rm_file(f"{self._root}/{folder}/{name}")
            except FileNotFoundError:
                continue
            except Exception as error:
                log.warning("snapshot %s stays at %s: %s", name, self.name, error)
