"""Numbered records in files of a folder, appended in order; what was cut off by a crash is seen and left out.

A file begins with ``hermesj1``; then records follow, each CRC-32, length and number (little-endian, 4, 4 and
8 bytes) and its bytes. The checksum covers all but itself, so that zeros, which some file systems leave at an
end that was never written, are no record. What the bytes mean is not known here.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from hermes_stream.stream.replacing import sync_folder

log = logging.getLogger(__name__)
SUFFIX = ".journal"
_MAGIC = b"hermesj1"
_HEAD = struct.Struct("<IIQ")
_CHECKED = struct.Struct("<IQ")
MAX_RECORD_BYTES = 2**28
SEGMENT_BYTES = 2**26


@dataclass(slots=True, kw_only=True)
class Segment:
    """One file.

    Attributes:
        path: of the file, named by its first number.
        first: number of its first record.
        last: number of its newest whole record; ``first - 1`` without one.
        num_bytes: up to the end of that record.
    """

    path: Path
    first: int
    last: int
    num_bytes: int = len(_MAGIC)


class Segments:
    """The records of one folder. One thread at a time may use it.

    Args:
        folder: of the files; it is made.
        segment_bytes: of a file, about; then the next one begins.

    Attributes:
        num_cut_bytes: what was cut off when the folder was opened, because it was no whole record.

    Raises:
        OSError: the folder cannot be read or written.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._segment_bytes = folder, segment_bytes
        self.num_cut_bytes = 0
        paths = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())
        self._segments = [self._opened(path) for path in paths]
        self._file: FileIO | None = None
        self._next = self._segments[-1].last + 1 if self._segments else 1

    def _opened(self, path: Path) -> Segment:
        """Read a file, and cut off what is no whole record at its end."""
        first = int(path.stem)
        segment = Segment(path=path, first=first, last=first - 1)
        for number, payload in _records(path, first):
            segment.last = number
            segment.num_bytes += _HEAD.size + len(payload)
        excess = path.stat().st_size - segment.num_bytes
        if excess > 0:
            self.num_cut_bytes += excess
            log.warning("%d bytes behind record %d of %s are no whole record", excess, segment.last, path)
            _truncate(path, segment.num_bytes)
        return segment

    @property
    def next_number(self) -> int:
        """Number of the record that may be appended next."""
        return self._next

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(segment.num_bytes for segment in self._segments)

    def read(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield records in order, with their numbers; where files were damaged, numbers are missing.

        Args:
            after: numbers up to this are left out.
        """
        for segment in tuple(self._segments):
            if segment.last > after:
                for number, payload in _records(segment.path, segment.first):
                    if after < number <= segment.last:
                        yield number, payload

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write the next records, and let them last.

        Args:
            payloads: of the records.

        Raises:
            OSError: they cannot be written; then none of them is there.
        """
        if not payloads:
            return
        segment, file = self._current()
        content = b"".join(_record(self._next + k, payload) for k, payload in enumerate(payloads))
        try:
            file.seek(segment.num_bytes)
            _write_all(file, content)
            os.fsync(file.fileno())
        except OSError:
            self._close_file()
            with suppress(OSError):  # else it is cut off when the folder is opened again
                _truncate(segment.path, segment.num_bytes)
            raise
        segment.num_bytes += len(content)
        self._next += len(payloads)
        segment.last = self._next - 1
        if segment.num_bytes >= self._segment_bytes:
            self._close_file()

    def begin(self, number: int) -> None:
        """Let the next record have this number; records from it on are deleted.

        Raises:
            OSError: the files cannot be changed.
        """
        self._close_file()
        # from the end on: if this is interrupted, what is left is whole
        for segment in reversed(tuple(self._segments)):
            if segment.first >= number:
                self._delete(segment)
            elif segment.last >= number:
                kept = [payload for one, payload in _records(segment.path, segment.first) if one < number]
                segment.num_bytes = len(_MAGIC) + sum(_HEAD.size + len(payload) for payload in kept)
                segment.last = number - 1
                _truncate(segment.path, segment.num_bytes)
        self._next = number

    def forget(self, number: int) -> None:
        """Delete files whose records all have this number or a smaller one.

        Raises:
            OSError: a file cannot be deleted.
        """
        self._close_file()
        for segment in tuple(self._segments):
            if segment.last <= number:
                self._delete(segment)

    def close(self) -> None:
        """Close the file that is open; safe to repeat."""
        self._close_file()

    def _current(self) -> tuple[Segment, FileIO]:
        """Return the segment that is written to, and its file; begin a new one where none is."""
        if self._file is None:
            path = self._folder / f"{self._next:016d}{SUFFIX}"
            self._segments = [one for one in self._segments if one.path != path]
            file = FileIO(path, "w")
            try:
                _write_all(file, _MAGIC)
            except OSError:
                file.close()
                raise
            sync_folder(self._folder)
            self._file = file
            self._segments.append(Segment(path=path, first=self._next, last=self._next - 1))
        return self._segments[-1], self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _delete(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)
        self._segments.remove(segment)


def _record(number: int, payload: bytes) -> bytes:
    checked = _CHECKED.pack(len(payload), number)
    return _HEAD.pack(zlib.crc32(payload, zlib.crc32(checked)), len(payload), number) + payload


def piece_of(first: int, payloads: Sequence[bytes]) -> bytes:
    """Return the bytes of a file with these records.

    Args:
        first: number of the first of them.
        payloads: of the records, in order.
    """
    return _MAGIC + b"".join(_record(first + k, payload) for k, payload in enumerate(payloads))


def read_folder(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Yield whole records of a folder that somebody may be writing; nothing is cut off or made."""
    for path in sorted(path for path in folder.rglob(f"*{SUFFIX}") if path.stem.isdecimal()):
        with suppress(FileNotFoundError):  # a snapshot holds all of it meanwhile
            yield from _records(path, int(path.stem))


def _records(path: Path, first: int) -> Iterator[tuple[int, bytes]]:
    """Yield whole records of a file, numbered one by one, up to the first that is none."""
    with path.open("rb") as file:
        left_bytes = os.fstat(file.fileno()).st_size - len(_MAGIC)
        if file.read(len(_MAGIC)) != _MAGIC:
            return
        expected = first
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            checksum, length, number = _HEAD.unpack(head)
            left_bytes -= _HEAD.size + length
            # looked at before anything is read, or made room for
            if number != expected or length > MAX_RECORD_BYTES or left_bytes < 0:
                return
            payload = file.read(length)
            checked = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(length, number)))
            if checked != checksum:
                return
            yield number, payload
            expected += 1


def _write_all(file: FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) or 0 :]


def _truncate(path: Path, num_bytes: int) -> None:
    with path.open("r+b") as file:
        file.truncate(num_bytes)
        os.fsync(file.fileno())
