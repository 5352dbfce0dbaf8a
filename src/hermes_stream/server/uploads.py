"""Files that clients sent: bounded, named by their content, deleted after a while."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from hermes_stream.server.errors import RefusedError

_PIECE_BYTES = 1024 * 1024
_ID = re.compile(r"file-[0-9a-f]{40}")
_MAX_NAME_CHARACTERS = 200
AROUND_BYTES = 64 * 1024
"""What a form may have around its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that a client sent.

    Attributes:
        id: made from its content.
        filename: as the client called it; it is shown, and is no path.
        num_bytes: its size.
        created_wall_seconds: when it came last, seconds since 1970.
        purpose: as the client said.
    """

    id: str
    filename: str
    num_bytes: int
    created_wall_seconds: float
    purpose: str


class Uploads:
    """Keeps files in one folder; any thread may call.

    Args:
        folder: holds them and nothing else; made when the first comes.
        max_file_bytes: size of one, at most.
        max_bytes: of all together, at most.
        keep_seconds: how long one is kept.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_file_bytes: int,
        max_bytes: int,
        keep_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self._clock = folder, clock
        self._max_file_bytes, self._max_bytes, self._keep_seconds = max_file_bytes, max_bytes, keep_seconds
        self._lock = threading.Lock()
        self._expected_bytes = 0

    def add(self, content: IO[bytes], *, filename: str, purpose: str = "user_data") -> Upload:
        """Keep a file.

        Args:
            content: is read to its end.
            filename: as the client calls it.
            purpose: as the client says.

        Raises:
            RefusedError: it is empty, larger than a file may be, or there is no room for it.
            OSError: it cannot be written.
        """
        with self.temporary() as path:
            digest, size = hashlib.sha256(), 0
            with path.open("wb") as file:
                while piece := content.read(_PIECE_BYTES):
                    size += len(piece)
                    self._check_size(size)
                    digest.update(piece)
                    file.write(piece)
            if size == 0:
                raise RefusedError(
                    400, "the file is empty; send one with content", code="empty_file", param="file"
                )
            upload = Upload(
                id=f"file-{digest.hexdigest()[:40]}",
                filename=_shown(filename),
                num_bytes=size,
                created_wall_seconds=self._clock(),
                purpose=purpose[:_MAX_NAME_CHARACTERS],
            )
            with self._lock:
                others = [one for one in self._files() if one.name != upload.id]
                self._check_room(upload.num_bytes, sum(map(_size, others)))
                path.replace(self.folder / upload.id)
                self._note(upload.id).write_text(json.dumps(asdict(upload)), encoding="utf-8")
        return upload

    @contextmanager
    def expecting(self, num_bytes: int | None) -> Iterator[None]:
        """Count a file while it comes; see ``check_room``.

        Args:
            num_bytes: that will come, with what is around the file; None where the client does not say.
        """
        expected = self._max_file_bytes if num_bytes is None else max(0, num_bytes - AROUND_BYTES)
        with self._lock:
            self._expected_bytes += expected
        try:
            yield
        finally:
            with self._lock:
                self._expected_bytes -= expected

    def check_room(self) -> None:
        """Check that there is room for what comes, before it is written out.

        Raises:
            RefusedError: there is none.
        """
        self.sweep()
        with self._lock:
            self._check_room(0, sum(map(_size, self._files())) + self._expected_bytes)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Lend the path of a file that is not there yet, and delete it afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f".{secrets.token_hex(16)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def get(self, file_id: str) -> Upload:
        """Return what is known of a file.

        Raises:
            RefusedError: there is none of this id, or no longer.
        """
        if _ID.fullmatch(file_id):  # nothing else is ever joined to the folder
            with suppress(OSError, ValueError, TypeError):
                return Upload(**json.loads(self._note(file_id).read_text(encoding="utf-8")))
        raise RefusedError(
            404,
            f"there is no file {file_id[:80]!r}; files are kept for {self._keep_seconds:g} s: send it again",
            code="file_not_found",
            param="file_id",
        )

    def path(self, file_id: str) -> Path:
        """Return where a file lies.

        Raises:
            RefusedError: there is none of this id, or no longer.
        """
        return self.folder / self.get(file_id).id

    def all(self) -> tuple[Upload, ...]:
        """Return what is known of all files, newest first."""
        found = [self._known(path) for path in self._files()]
        return tuple(sorted(filter(None, found), key=lambda one: -one.created_wall_seconds))

    def delete(self, file_id: str) -> None:
        """Delete a file.

        Raises:
            RefusedError: there is none of this id.
        """
        with self._lock:
            self._delete(self.get(file_id).id)

    def sweep(self) -> None:
        """Delete what is older than it may be, and what was left over by a kill."""
        oldest = self._clock() - self._keep_seconds
        with self._lock:
            for path in self._files():
                known = self._known(path)
                if (known.created_wall_seconds if known else path.stat().st_mtime) < oldest:
                    self._delete(path.name)
            for path in self.folder.glob(".*") if self.folder.exists() else ():
                with suppress(OSError):
                    if path.stat().st_mtime < oldest:
                        path.unlink()

    def _delete(self, file_id: str) -> None:
        (self.folder / file_id).unlink(missing_ok=True)
        self._note(file_id).unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        if not self.folder.exists():
            return []
        return [path for path in self.folder.iterdir() if _ID.fullmatch(path.name)]

    def _known(self, path: Path) -> Upload | None:
        with suppress(RefusedError):
            return self.get(path.name)
        return None

    def _note(self, file_id: str) -> Path:
        return self.folder / f"{file_id}.json"

    def _check_size(self, size: int) -> None:
        if size > self._max_file_bytes:
            raise RefusedError(
                413,
                f"the file has more than {self._max_file_bytes:,} bytes, which is the most",
                code="too_large",
                param="file",
                accepted={"max_file_bytes": self._max_file_bytes},
            )

    def _check_room(self, num_bytes: int, used: int) -> None:
        if used + num_bytes > self._max_bytes:
            raise RefusedError(
                429,
                f"files, and what comes, take {used + num_bytes:,} bytes of {self._max_bytes:,}; delete "
                "some, or wait until they are old",
                code="no_room_for_files",
                param="file",
                accepted={"max_files_bytes": self._max_bytes},
                retry_after_seconds=60,
            )


def shown_upload(upload: Upload) -> dict[str, Any]:
    """Return what is known of a file, as OpenAI's clients read it."""
    return {
        "id": upload.id,
        "object": "file",
        "bytes": upload.num_bytes,
        "created_at": int(upload.created_wall_seconds),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": "processed",
    }


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _shown(filename: str) -> str:
    """Return the last part of a name, without what a terminal or a page would take for more."""
    last = re.split(r"[/\\]", filename)[-1]
    return "".join(one for one in last if one.isprintable())[:_MAX_NAME_CHARACTERS] or "file"
