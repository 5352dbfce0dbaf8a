"""Writes HEIC pictures box by box, since FFmpeg reads them only."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def crop(width: int, height: int, left: int, top: int) -> bytes:
    """What is cut out: its size, and how far its middle lies from that of the picture."""
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, left, 1, top, 1))


def rotate(quarters: int) -> bytes:
    """Counterclockwise."""
    return box(b"irot", bytes([quarters]))


def mirror(mode: int) -> bytes:
    """0 swaps top and bottom, 1 left and right."""
    return box(b"imir", bytes([mode]))


def hevc(image: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """One picture as HEVC: its configuration and its data."""
    file = io.BytesIO()
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx265", rate=1)
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
        stream.options = {"x265-params": "log-level=none:info=0", "crf": "4"}
        for packet in stream.encode(picture) + stream.encode(None):
            packet.pts = packet.dts = 0  # x265 leaves out those of a single picture
            container.mux(packet)
    file.seek(0)
    with av.open(file) as container:
        packet = next(packet for packet in container.demux(video=0) if packet.size)
        return bytes(container.streams.video[0].codec_context.extradata), bytes(packet)


def write_heic(path: Path, tiles, *, columns: int = 1, size=None, properties=()) -> Path:
    """Write one picture, or with ``size`` a grid of tiles whose right and lower edges are cut off to it.

    ``properties`` are those of the whole picture, in the order in which they apply.
    """
    coded = [hevc(tile) for tile in tiles]
    whole = len(coded) + 1 if size else 1
    described, owners = [], {}
    for item, ((configuration, _), tile) in enumerate(zip(coded, tiles, strict=True), start=1):
        described += [
            box(b"hvcC", configuration),
            full(b"ispe", struct.pack(">II", *tile.shape[1::-1])),
        ]
        owners[item] = [len(described) - 1, len(described)]
    for described_whole in [*([full(b"ispe", struct.pack(">II", *size))] if size else []), *properties]:
        described.append(described_whole)
        owners.setdefault(whole, []).append(len(described))
    grid = struct.pack(">BBBBHH", 0, 0, len(tiles) // columns - 1, columns - 1, *size) if size else b""
    ftyp = box(b"ftyp", b"heic", bytes(4), b"mif1heic")

    def meta(start: int) -> bytes:
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", struct.pack(">H", whole)),
            _locations([len(data) for _, data in coded], start=start, grid=grid),
            _items(len(coded), has_grid=bool(size)),
            *([_made_of(whole, len(coded))] if size else []),
            box(b"iprp", box(b"ipco", *described), _owners(owners)),
            *([box(b"idat", grid)] if size else []),
        )

    start = len(ftyp) + len(meta(0)) + 8
    path.write_bytes(ftyp + meta(start) + box(b"mdat", *(data for _, data in coded)))
    return path


def _locations(lengths, *, start: int, grid: bytes) -> bytes:
    rows = []
    for item, length in enumerate(lengths, start=1):
        rows.append(struct.pack(">HHHHII", item, 0, 0, 1, start, length))
        start += length
    if grid:
        rows.append(struct.pack(">HHHHII", len(lengths) + 1, 1, 0, 1, 0, len(grid)))
    return full(b"iloc", struct.pack(">HH", 0x4400, len(rows)), *rows, version=1)


def _items(count: int, *, has_grid: bool) -> bytes:
    kinds = [b"hvc1"] * count + [b"grid"] * has_grid
    rows = [
        full(
            b"infe", struct.pack(">HH4s", item, 0, kind), b"\0", version=2, flags=has_grid and kind != b"grid"
        )
        for item, kind in enumerate(kinds, start=1)
    ]
    return full(b"iinf", struct.pack(">H", len(rows)), *rows)


def _made_of(whole: int, count: int) -> bytes:
    return full(b"iref", box(b"dimg", struct.pack(f">HH{count}H", whole, count, *range(1, count + 1))))


def _owners(owners) -> bytes:
    rows = [
        struct.pack(">HB", item, len(numbers)) + bytes(numbers) for item, numbers in sorted(owners.items())
    ]
    return full(b"ipma", struct.pack(">I", len(rows)), *rows)
