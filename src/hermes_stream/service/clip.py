"""A clip of a stream: copied from its file, or made of the frames that are still kept."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hermes_stream.errors import SnapshotError, UnknownPictureError, VideoError
from hermes_stream.service.change_records import frames_of
from hermes_stream.service.segments import read_folder
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.service.stream_rows import StreamRow
from hermes_stream.video.cutting import can_copy, copy_part, write_frames
from hermes_stream.video.jpeg import decode_jpeg

log = logging.getLogger(__name__)

MAX_CLIP_SECONDS = 600.0
MAX_CLIP_BYTES = 256 * 1024 * 1024
_MAX_KEPT_FRAMES = 2000
_MAX_KEPT_BYTES = 512 * 1024 * 1024
_FPS = (1.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip that was written.

    Attributes:
        path: of the file, MP4.
        from_seconds: where it begins, in seconds of the stream.
        until_seconds: where it ends.
        made_from: the "file" that the stream reads; "pictures" or the "journal", which are sampled frames.
    """

    path: Path
    from_seconds: float
    until_seconds: float
    made_from: Literal["file", "pictures", "journal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFolders:
    """Where a service keeps frames.

    Attributes:
        pictures: folder of all pictures.
        journals: folder of all journals.
    """

    pictures: Path
    journals: Path


def write_clip(
    row: StreamRow,
    folders: KeptFolders,
    target: Path,
    *,
    from_seconds: float,
    until_seconds: float,
    file_zero_seconds: float | None = None,
) -> Clip:
    """Write a clip of a stream.

    Args:
        row: of the stream.
        folders: where its frames are kept.
        target: the file to write, ending in ``.mp4``.
        from_seconds: where it begins, in seconds of the stream.
        until_seconds: where it ends, behind that, at most ``MAX_CLIP_SECONDS``.
        file_zero_seconds: when the first picture of the stream's file came, in seconds of the stream: another
            source may have come before. None where that is not known: then the file is left alone.

    Raises:
        UnknownPictureError: nothing of that time is kept; says why.
        ValueError: the times are none that a clip can have.
        VideoError: it cannot be written.
    """
    if not 0 < until_seconds - from_seconds <= MAX_CLIP_SECONDS:
        raise ValueError(
            f"a clip goes from one time to a later one, at most {MAX_CLIP_SECONDS:g} s long; got "
            f"{from_seconds:g} to {until_seconds:g} s"
        )
    reasons = []
    choices = StreamChoices.read(row.options)
    path = _file_of(row)
    if path is None or file_zero_seconds is None or from_seconds < file_zero_seconds:
        reasons.append("its source was no file then, or is none that is still there")
    elif choices.framing:
        reasons.append("its file shows more than the stream may, which is cropped or masked")
    else:
        clip = _from_file(path, target, file_zero_seconds, (from_seconds, until_seconds))
        if clip is not None:
            return clip
        reasons.append("its file is of a kind that is not copied, or has no picture at that time")
    if frames := _journalled(row, folders, from_seconds, until_seconds):
        return _encoded(frames, target, until_seconds, "journal")
    if frames := _pictured(row, folders, from_seconds, until_seconds):
        return _encoded(frames, target, until_seconds, "pictures")
    raise UnknownPictureError(
        f"nothing is kept of stream {row.name!r} from {from_seconds:g} to {until_seconds:g} s: "
        f"{'; '.join(reasons)}; and its memory holds no picture of that time any more. Ask for a later "
        "time, or open the stream from a file"
    )


def _file_of(row: StreamRow) -> Path | None:
    if row.source is None or not row.opens_again or "://" in row.source:
        return None
    path = Path(row.source)
    return path if path.is_file() else None


def _from_file(path: Path, target: Path, zero_seconds: float, span: tuple[float, float]) -> Clip | None:
    """Copy a part of the file; None where that is not to be had."""
    try:
        if not can_copy(path):
            return None
        part = copy_part(
            path,
            target,
            from_seconds=span[0] - zero_seconds,
            until_seconds=span[1] - zero_seconds,
            max_bytes=MAX_CLIP_BYTES,
        )
    except VideoError as error:
        log.info("no clip from a file: %s", error)
        return None
    return Clip(
        path=target,
        from_seconds=part.from_seconds + zero_seconds,
        until_seconds=part.until_seconds + zero_seconds,
        made_from="file",
    )


_Timed = Sequence[tuple[float, NDArray[np.uint8]]]


def _journalled(row: StreamRow, folders: KeptFolders, from_seconds: float, until_seconds: float) -> _Timed:
    """Return the frames of the journal: all that were sampled since the oldest snapshot, as the model saw."""
    found: dict[float, NDArray[np.uint8]] = {}
    num_bytes = 0
    try:
        for frame in frames_of(read_folder(folders.journals / row.folder), from_seconds, until_seconds):
            found[frame.pts_seconds] = frame.image
            num_bytes += frame.image.nbytes
            if len(found) >= _MAX_KEPT_FRAMES or num_bytes > _MAX_KEPT_BYTES:
                break
    except (SnapshotError, OSError) as error:
        log.info("a journal is read up to a place: %s", error)
    return sorted(found.items())


def _pictured(row: StreamRow, folders: KeptFolders, from_seconds: float, until_seconds: float) -> _Timed:
    """Return the pictures of the moments that the memory holds, or that something shows."""
    times: dict[float, Path] = {}
    for path in (folders.pictures / row.folder).glob("*/*.jpg"):
        try:
            seconds = float(path.stem)
        except ValueError:
            continue
        if from_seconds <= seconds <= until_seconds:
            times[seconds] = path
    found: list[tuple[float, NDArray[np.uint8]]] = []
    for seconds in sorted(times)[:_MAX_KEPT_FRAMES]:
        try:
            found.append((seconds, decode_jpeg(times[seconds].read_bytes())))
        except (OSError, VideoError):
            continue  # forgotten meanwhile
    return found


def _encoded(
    frames: _Timed, target: Path, until_seconds: float, made_from: Literal["journal", "pictures"]
) -> Clip:
    """Write frames at a constant rate, each shown until the next came."""
    times = [seconds for seconds, _ in frames]
    gaps = [after - before for before, after in pairwise(times)]
    fps = min(max(round(1 / median(gaps)) if gaps else _FPS[0], _FPS[0]), _FPS[1])
    end = min(until_seconds, times[-1] + 1.0)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        shape = frames[0][1].shape
        for k in range(max(1, round((end - times[0]) * fps))):
            image = frames[bisect_right(times, times[0] + k / fps + 1e-6) - 1][1]
            if image.shape == shape:  # a source may have changed its size
                yield image

    write_frames(target, pictures(), fps=fps)
    return Clip(path=target, from_seconds=times[0], until_seconds=end, made_from=made_from)
