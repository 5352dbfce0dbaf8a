"""Videos that are no video files: arrays of pictures, folders of pictures, and parts of any video."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hermes_lab.datasets.episode import Span
from hermes_lab.datasets.video_lookup import PICTURE_SUFFIXES
from hermes_stream.errors import VideoError
from hermes_stream.stream.playback import Source
from hermes_stream.video.frame import Frame
from hermes_stream.video.paths import check_readable, readable
from hermes_stream.video.sampling import MAX_FILLED_SECONDS, on_screen

DEFAULT_PICTURES_FPS = 1.0
_TOLERANCE_SECONDS = 1e-6

Image = NDArray[np.uint8]


def open_source(path: Path, *, fps: float, pictures_fps: float | None, clip: Span | None) -> Source:
    """Open a video of any form, sampled by time.

    Args:
        path: a video file, a ``.npy`` array, or a folder of pictures.
        fps: frames sampled per second.
        pictures_fps: pictures per second, if it is no video file; None is one.
        clip: the part to show, (from, until) in seconds; None is all.

    Raises:
        VideoError: it cannot be opened.
    """
    whole: Source
    rate = pictures_fps or DEFAULT_PICTURES_FPS
    if _is_folder(path):
        whole = _folder_source(path, fps=fps, pictures_fps=rate)
    elif path.suffix.lower() == ".npy":
        images = _load_array(path)
        names = [f"{readable(path)}[{k}]" for k in range(len(images))]
        whole = PictureSource(lambda k: np.array(images[k]), names, fps=fps, pictures_fps=rate)
    else:
        from hermes_stream.video import FileSource

        whole = FileSource(path, fps=fps)
    return whole if clip is None else ClipSource(whole, clip)


def damage_of(source: Source) -> str | None:
    """Return what broke when a source was last played; None if nothing did."""
    whole = source.whole if isinstance(source, ClipSource) else source
    damage: str | None = getattr(whole, "damage", None)
    return damage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """When a picture is on screen, known before the picture is read."""

    index: int
    pts_seconds: float
    duration_seconds: float


@final
class PictureSource:
    """Pictures at a steady rate; only those that are sampled are read.

    Attributes:
        start_seconds: 0.
        duration_seconds: how long they last.
        damage: what sampling leaves out, ``None`` if nothing.

    Args:
        read: returns the picture of an index.
        names: what messages call each picture, one for every picture.
        fps: frames sampled per second.
        pictures_fps: pictures per second.
    """

    def __init__(
        self, read: Callable[[int], Image], names: Sequence[str], *, fps: float, pictures_fps: float
    ) -> None:
        self._read, self._names = read, names
        self._fps, self._pictures_fps = fps, pictures_fps
        self.start_seconds = 0.0
        self.duration_seconds: float | None = len(names) / pictures_fps
        self.damage: str | None = None
        if 1 / pictures_fps > MAX_FILLED_SECONDS:
            stays = f"each picture stays for {1 / pictures_fps:.0f} s"
            self.damage = f"{stays}, of which sampling fills {MAX_FILLED_SECONDS:.0f} s"

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures on screen at each instant.

        Raises:
            VideoError: a picture cannot be read, or is not as large as the first.
        """
        each_seconds = 1 / self._pictures_fps
        timed = (
            _Timed(index=k, pts_seconds=k / self._pictures_fps, duration_seconds=each_seconds)
            for k in range(len(self._names))
        )
        size: tuple[int, ...] = ()
        for seconds, shown in on_screen(timed, fps=self._fps):
            image = self._read(shown.index)
            size = size or image.shape
            if image.shape != size:
                raise VideoError(
                    f"{self._names[shown.index]} is a picture of {list(image.shape)}, but the first is of "
                    f"{list(size)}; bring all pictures of the folder to one size"
                )
            yield Frame(pts_seconds=seconds, image=image, duration_seconds=1 / self._fps)


@final
class ClipSource:
    """A part of a video, its first frame at the part's start; if no frame falls into it, the last before.

    Attributes:
        whole: the whole video.
        start_seconds: where the part starts, on the video's own clock.
        duration_seconds: length of the part.
    """

    def __init__(self, whole: Source, clip: Span) -> None:
        self.whole = whole
        self.start_seconds = whole.start_seconds + clip[0]
        self._end_seconds = whole.start_seconds + clip[1]
        self.duration_seconds: float | None = clip[1] - clip[0]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of the part."""
        before, num_shown = None, 0
        for frame in self.whole:
            if frame.pts_seconds > self._end_seconds + _TOLERANCE_SECONDS:
                break
            if frame.pts_seconds < self.start_seconds - _TOLERANCE_SECONDS:
                before = frame
                continue
            num_shown += 1
            yield frame
        if not num_shown and before is not None:
            yield replace(before, pts_seconds=self.start_seconds)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, a parent out of reach: the source of files says so
        return False


def _load_array(path: Path) -> Image:
    check_readable(path)
    try:
        images: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    # The header of an array is text, and may name a shape that no memory holds.
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, MemoryError) as error:
        raise VideoError(
            f"{readable(path)} cannot be read as an array of pictures ({error}); give a .npy file of "
            "numbers, as objects are never unpickled"
        ) from error
    if not isinstance(images, np.ndarray):
        images.close()
        raise VideoError(f"{readable(path)} holds several arrays; save the one of the pictures as .npy")
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not images.size:
        raise VideoError(
            f"{readable(path)} holds {images.dtype} of shape {list(images.shape)}; it must hold uint8 "
            "pictures [pictures, height, width, 3]; convert it"
        )
    loaded: Image = images
    return loaded


def _folder_source(folder: Path, *, fps: float, pictures_fps: float) -> PictureSource:
    try:
        found = [file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES]
    except OSError as error:
        raise VideoError(
            f"{readable(folder)} cannot be listed: {error.strerror}; check its permissions"
        ) from error
    files = sorted(found, key=lambda file: _by_numbers(file.name))
    if not files:
        raise VideoError(
            f"{readable(folder)} holds no pictures ({' '.join(PICTURE_SUFFIXES)}); download them again"
        )
    names = [readable(file) for file in files]
    return PictureSource(lambda k: _read_picture(files[k]), names, fps=fps, pictures_fps=pictures_fps)


def _read_picture(path: Path) -> Image:
    from hermes_stream.video import FileSource

    return next(iter(FileSource(path))).image


def _by_numbers(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names as people count: frame2 before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
