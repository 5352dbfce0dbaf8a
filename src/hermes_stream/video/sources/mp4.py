"""A check of MP4 before FFmpeg reads it: a few bytes may claim millions of samples, and each takes memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hermes_stream.errors import VideoError
from hermes_stream.video.paths import readable

_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx")
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
_MAX_SAMPLES_PER_BYTE = 16  # old sound counts samples as they are after decoding
_MAX_RUNS = 2**20


def check_sample_counts(path: Path) -> None:
    """Check that a file claims no more samples than it could hold; others than MP4 pass.

    Raises:
        VideoError: it claims more.
    """
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:] not in _FIRST_BOXES:
            return
        num_samples = sum(_sample_counts(file, 0, num_bytes))
    if num_samples > _MAX_SAMPLES_PER_BYTE * num_bytes:
        raise VideoError(
            f"{readable(path)} claims {num_samples} samples in {num_bytes} bytes, so its index is damaged; "
            "record or download it again"
        )


def _sample_counts(file: BinaryIO, start: int, end: int, *, depth: int = 0) -> Iterator[int]:
    """Yield what each table says from a place to another; those of one stream are counted more than once."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        body = start + 8
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
            body += 8
        stop = end if size == 0 else min(end, start + size)
        if stop <= start or (size and size < 8):
            return
        if kind in _PARENTS and depth < len(_PARENTS):
            yield from _sample_counts(file, body, stop, depth=depth + 1)
        elif kind in (b"stsz", b"stz2", b"trun", b"stts", b"ctts"):
            yield _count_in(kind, file.read(min(stop - body, 8 * _MAX_RUNS)))
        start = stop


def _count_in(kind: bytes, content: bytes) -> int:
    if kind in (b"stsz", b"stz2"):
        return int.from_bytes(content[8:12], "big")
    count = int.from_bytes(content[4:8], "big")
    if kind == b"trun":
        return count
    runs = content[8 : 8 + 8 * count]
    return int(np.frombuffer(runs[: len(runs) // 8 * 8], dtype=">u4")[::2].sum(dtype=np.int64))
