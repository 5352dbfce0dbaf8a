"""Still pictures of phones (HEIC, AVIF): how their coded items make the picture that is meant.

A phone stores a photo as a grid of tiles, and what the user cut off as an edge to be cut off. FFmpeg gives
every item as a stream of its own; how they belong together is read here from the file's ``meta`` box.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, final

from hermes_stream.errors import VideoError
from hermes_stream.video.paths import readable

_CODED = (b"hvc1", b"av01", b"avc1")
_MAX_META_BYTES = 16 * 2**20
_MAX_BOXES = 64
_ROTATIONS = {1: "transpose=cclock", 2: "hflip,vflip", 3: "transpose=clock"}  # a quarter each
_MIRRORS = {0: "vflip", 1: "hflip"}
_ORDER = (b"clap", b"irot", b"imir")  # in which FFmpeg takes what is done to a picture, however it is written
_FORGET_ORIENTATION = "sidedata=mode=delete:type=DISPLAYMATRIX"


@dataclass(frozen=True, slots=True, kw_only=True)
class StillLayout:
    """How items become one picture.

    Attributes:
        item_ids: the coded items, row by row.
        size: width and height of the picture put together, in pixels; ``None`` for a single item.
        filters: what FFmpeg is to do with the items, in this order.
    """

    item_ids: tuple[int, ...]
    size: tuple[int, int] | None
    filters: tuple[str, ...]


def read_still_layout(path: Path) -> StillLayout | None:
    """Return how the main picture of a file is made; ``None`` if it is one item as it is coded.

    Raises:
        VideoError: it is made of several items, and how is not read.
    """
    kind = None
    try:
        with path.open("rb") as file:
            content = _meta_of(file)
            if content is None:
                return None
            meta = _Meta(content, file)
            kind = meta.main_kind()
            return meta.layout()
    except (OSError, struct.error, IndexError, KeyError, ValueError) as error:
        if kind in (None, *_CODED):
            return None  # no such picture, or one that is shown whole
        raise VideoError(
            f"{readable(path)} is a picture made of several, and how cannot be read; convert it to JPEG"
        ) from error


def _meta_of(file: BinaryIO) -> bytes | None:
    for _ in range(_MAX_BOXES):
        start = file.tell()
        header = file.read(8)
        if len(header) < 8:
            return None
        size, kind = struct.unpack(">I4s", header)
        if size == 1:
            size = struct.unpack(">Q", file.read(8))[0]
        if kind == b"meta":
            return file.read(size - 8) if size <= _MAX_META_BYTES else None
        if kind == b"moov" or size < 8:
            return None
        file.seek(start + size)
    return None


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each box."""
    while len(content) >= 8:
        size, kind = struct.unpack_from(">I4s", content)
        if not 8 <= size <= len(content):
            raise ValueError(f"a box of {size} bytes in {len(content)}")
        yield kind, content[8:size]
        content = content[size:]


@final
class _Meta:
    """The ``meta`` box of a file of pictures."""

    def __init__(self, meta: bytes, file: BinaryIO) -> None:
        self._file = file
        self._parts = dict(_boxes(meta[4:]))

        pitm = self._parts[b"pitm"]
        self._main = struct.unpack(">H" if pitm[0] == 0 else ">I", pitm[4:])[0]

    def main_kind(self) -> bytes:
        return self._kinds()[self._main]

    def layout(self) -> StillLayout | None:
        kind = self.main_kind()
        properties = self._properties(self._main)
        steps = [(name, content) for name, content in properties if name in _ORDER]
        if kind in _CODED:
            filters = _filters(steps)
            if steps == sorted(steps, key=lambda step: _ORDER.index(step[0])):
                filters = _filters([step for step in steps if step[0] == b"clap"])  # FFmpeg tells the rest
            else:
                filters.append(_FORGET_ORIENTATION)
            return StillLayout(item_ids=(self._main,), size=None, filters=tuple(filters)) if filters else None
        if kind != b"grid":
            raise ValueError(f"a picture of kind {kind!r}")
        rows, columns, size = self._grid(self._main)
        tiles = self._tiles(self._main)
        if rows * columns != len(tiles):
            raise ValueError(f"{len(tiles)} tiles for {rows} x {columns}")
        filters = [f"xstack=inputs={len(tiles)}:grid={columns}x{rows}"] if len(tiles) > 1 else []
        filters += [f"crop={size[0]}:{size[1]}:0:0:exact=1", *_filters(steps)]
        return StillLayout(item_ids=tiles, size=size, filters=tuple(filters))

    def _kinds(self) -> dict[int, bytes]:
        iinf = self._parts[b"iinf"]
        found = {}
        for _, content in _boxes(iinf[6 if iinf[0] == 0 else 8 :]):
            item_id, _, kind = struct.unpack_from(">HH4s" if content[0] == 2 else ">IH4s", content, 4)
            found[item_id] = kind
        return found

    def _properties(self, item_id: int) -> list[tuple[bytes, bytes]]:
        parts = dict(_boxes(self._parts[b"iprp"]))
        offered, ipma = list(_boxes(parts[b"ipco"])), parts[b"ipma"]
        id_form = ">HB" if ipma[0] == 0 else ">IB"
        form, mask = ("H", 0x7FFF) if ipma[3] & 1 else ("B", 0x7F)
        offset = 8
        for _ in range(struct.unpack_from(">I", ipma, 4)[0]):
            owner, count = struct.unpack_from(id_form, ipma, offset)
            offset += struct.calcsize(id_form)
            numbers = struct.unpack_from(f">{count}{form}", ipma, offset)
            offset += struct.calcsize(f">{count}{form}")
            if owner == item_id:
                return [offered[(number & mask) - 1] for number in numbers if number & mask]
        return []

    def _tiles(self, grid_id: int) -> tuple[int, ...]:
        iref = self._parts[b"iref"]
        form = "H" if iref[0] == 0 else "I"
        for kind, content in _boxes(iref[4:]):
            owner, count = struct.unpack_from(f">{form}H", content)
            if kind == b"dimg" and owner == grid_id:
                return struct.unpack_from(f">{count}{form}", content, struct.calcsize(f">{form}H"))
        raise KeyError("dimg")

    def _grid(self, grid_id: int) -> tuple[int, int, tuple[int, int]]:
        content = self._content(grid_id)
        rows, columns = content[2] + 1, content[3] + 1
        width, height = struct.unpack_from(">II" if content[1] & 1 else ">HH", content, 4)
        return rows, columns, (width, height)

    def _content(self, item_id: int) -> bytes:
        """Return the bytes of a small item."""
        iloc = self._parts[b"iloc"]
        version = iloc[0]
        sizes = [iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15 if version else 0]
        reader = _Reader(iloc, 6)
        for _ in range(reader.number(4 if version == 2 else 2)):
            owner = reader.number(4 if version == 2 else 2)
            method = reader.number(2) & 15 if version else 0
            reader.number(2)
            base = reader.number(sizes[2])
            extents = []
            for _ in range(reader.number(2)):
                reader.number(sizes[3])
                extents.append((base + reader.number(sizes[0]), reader.number(sizes[1])))
            if owner == item_id:
                return b"".join(self._extent(method, start, length) for start, length in extents)
        raise KeyError("iloc")

    def _extent(self, method: int, start: int, length: int) -> bytes:
        if method == 1:
            return self._parts[b"idat"][start : start + length]
        self._file.seek(start)
        return self._file.read(min(length, 64))


@final
class _Reader:
    """Reads numbers of any width one after the other."""

    def __init__(self, content: bytes, offset: int) -> None:
        self._content, self._offset = content, offset

    def number(self, num_bytes: int) -> int:
        if self._offset + num_bytes > len(self._content):
            raise IndexError("the box ends early")
        self._offset += num_bytes
        return int.from_bytes(self._content[self._offset - num_bytes : self._offset], "big")


def _filters(steps: list[tuple[bytes, bytes]]) -> list[str]:
    """Return what FFmpeg is to do for properties of a picture, in their order."""
    filters = []
    for name, content in steps:
        if name == b"clap":
            filters.append(_crop(content))
        elif name == b"imir":
            filters.append(_MIRRORS[content[0] & 1])
        elif content[0] & 3:
            filters += _ROTATIONS[content[0] & 3].split(",")
    return filters


def _crop(clap: bytes) -> str:
    width_n, width_d, height_n, height_d, left_n, left_d, top_n, top_d = struct.unpack(">IIIIiIiI", clap)
    if 0 in (width_d, height_d, left_d, top_d):
        raise ValueError("a fraction over 0")
    left, top = left_n / left_d, top_n / top_d  # of the middle, from the middle
    width, height = width_n // width_d, height_n // height_d
    return f"crop={width}:{height}:(iw-ow)/2+({left}):(ih-oh)/2+({top}):exact=1"
