"""A stream's changes as bytes: values in JSON, and pixels packed by Zstandard, to the bit.

A pixel is packed as its difference to the one on its left, modulo 256: what noise of a camera leaves alike in
neighbours is seen only so, and noisy pictures take half as much.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import zstandard

from hermes_stream.errors import SnapshotError
from hermes_stream.saved import Saved
from hermes_stream.stream.changes import (
    Change,
    ChunkFolded,
    FrameCame,
    FrameForgotten,
    FramesLeftOut,
    HeldFramesPrefilled,
    MemoryCompressed,
    QuestionAnswered,
    What,
)
from hermes_stream.stream.saved_frames import checked_frame, frame_values
from hermes_stream.video.frame import Frame

_LEVEL = 1  # higher ones take several times as long for a few percent
_LENGTH = struct.Struct("<I")
_MAX_SIDE = 2**15
_MAX_PIXEL_BYTES = 2**28
_MAX_INDICES = 100_000
_KIND_OF: dict[type, str] = {
    FrameCame: "frame_came",
    FrameForgotten: "frame_forgotten",
    FramesLeftOut: "frames_left_out",
    ChunkFolded: "chunk_folded",
    MemoryCompressed: "memory_compressed",
    HeldFramesPrefilled: "held_frames_prefilled",
    QuestionAnswered: "question_answered",
}


class ChangeWriter:
    """Turns changes into bytes. One thread at a time may use it."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def encode(self, what: What) -> bytes:
        """Return the bytes of a change; its number is kept elsewhere."""
        pixels = b""
        if isinstance(what, FrameCame):
            image = what.frame.image
            values = {
                **frame_values(what.frame),
                "height": image.shape[0],
                "width": image.shape[1],
                "due": what.due,
                "num_gaps": what.num_gaps,
            }
            differences = image.copy(order="C")
            differences[:, 1:] -= image[:, :-1]
            pixels = self._compressor.compress(differences.data)
        else:
            values = asdict(what)
        head = json.dumps({"kind": _KIND_OF[type(what)], **values}, allow_nan=False).encode()
        return _LENGTH.pack(len(head)) + head + pixels


def decode(number: int, record: bytes) -> Change:
    """Return the change that bytes stand for.

    Args:
        number: of the change.
        record: what ``ChangeWriter.encode`` returned, or anything.

    Raises:
        SnapshotError: they are no change.
    """
    values, end = _head(number, record)
    read = _READERS[values.pop("kind")]
    saved = Saved(values=values, path=f"record {number} of the journal: ")
    return Change(number=number, what=read(saved, record[end:]))


def frames_of(
    records: Iterable[tuple[int, bytes]], from_seconds: float = -math.inf, until_seconds: float = math.inf
) -> Iterator[Frame]:
    """Yield the frames that came, in order; the pixels of those outside of a time stay packed.

    Args:
        records: with their numbers.
        from_seconds: not before this time of the stream.
        until_seconds: not after it.

    Raises:
        SnapshotError: see ``decode``.
    """
    for number, record in records:
        values, end = _head(number, record)
        if values.pop("kind") != _KIND_OF[FrameCame]:
            continue
        saved = Saved(values=values, path=f"record {number} of the journal: ")
        if from_seconds <= saved.number("pts_seconds") <= until_seconds:
            yield _read_frame(saved, record[end:]).frame


def _head(number: int, record: bytes) -> tuple[dict[str, Any], int]:
    """Return the values of a change, with its kind among them, and where they end."""
    try:
        end = _LENGTH.size + _LENGTH.unpack_from(record)[0]
        values = json.loads(record[_LENGTH.size : end])
        _ = _READERS[values["kind"]]
    except (struct.error, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise SnapshotError(
            f"record {number} of the journal is none that this program writes ({error}); the memory can be "
            "had up to there"
        ) from error
    return values, end


def _read_frame(saved: Saved, packed: bytes) -> FrameCame:
    height, width = (saved.integer(side, least=1, most=_MAX_SIDE) for side in ("height", "width"))
    num_bytes = height * width * 3
    try:
        # what is packed says how large it is: a few bytes may stand for very many
        claimed = zstandard.get_frame_parameters(packed).content_size
        if claimed != num_bytes or num_bytes > _MAX_PIXEL_BYTES:
            raise ValueError(f"{claimed} bytes are packed, and {height} x {width} pixels have {num_bytes}")
        pixels = zstandard.ZstdDecompressor().decompress(packed)
        differences = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        image = differences.cumsum(axis=1, dtype=np.uint8)
    except (zstandard.ZstdError, ValueError, MemoryError) as error:
        raise SnapshotError(f"{saved.path}its pixels cannot be unpacked: {error}") from error
    frame = checked_frame(saved, image, None)
    return FrameCame(frame=frame, due=saved.integer("due"), num_gaps=saved.integer("num_gaps"))


def _read_left_out(saved: Saved, _: bytes) -> FramesLeftOut:
    indices = saved.values.get("indices")
    count = len(indices) if isinstance(indices, list) else 0
    return FramesLeftOut(indices=tuple(saved.integers("indices", count, most=_MAX_INDICES)))


def _read_folded(saved: Saved, _: bytes) -> ChunkFolded:
    start = saved.integer("start", most=_MAX_INDICES)
    num_frames = saved.integer("num_frames", least=1, most=_MAX_INDICES)
    # older journals do not say: there, nothing was put off
    text_tokens = saved.integer("text_tokens", most=_MAX_INDICES) if saved.has("text_tokens") else None
    return ChunkFolded(start=start, num_frames=num_frames, text_tokens=text_tokens)


_READERS: dict[str, Callable[[Saved, bytes], Any]] = {
    "frame_came": _read_frame,
    "frame_forgotten": lambda saved, _: FrameForgotten(index=saved.integer("index")),
    "frames_left_out": _read_left_out,
    "chunk_folded": _read_folded,
    "memory_compressed": lambda *_: MemoryCompressed(),
    "held_frames_prefilled": lambda *_: HeldFramesPrefilled(),
    "question_answered": lambda saved, _: QuestionAnswered(
        question=saved.text("question"), answer=saved.text("answer")
    ),
}
