"""Videos that are no video files: arrays of pictures, folders of pictures, and parts of any video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from hermes_lab.datasets.episode import Span
from hermes_lab.datasets.video_lookup import PICTURE_SUFFIXES
from hermes_stream.errors import VideoError
from hermes_stream.stream.playback import Source
from hermes_stream.video.frame import Frame
from hermes_stream.video.sampling import sample_frames

if TYPE_CHECKING:
    from hermes_stream.video import FileSource

DEFAULT_PICTURES_FPS = 1.0
_TOLERANCE_SECONDS = 1e-6


def open_source(path: Path, *, fps: float, pictures_fps: float | None, clip: Span | None) -> Source:
    """Open a video of any form, sampled by time.

    Args:
        path: a video file, a ``.npy`` array, or a folder of pictures.
        fps: frames sampled per second.
        pictures_fps: how many pictures a second there are, where it is no video file; None is one.
        clip: the part to show, (from, until) in seconds; None is all.

    Raises:
        VideoError: it cannot be opened.
    """
    every: Source
    rate = pictures_fps or DEFAULT_PICTURES_FPS
    if path.is_dir():
        every = FolderSource(path, fps=fps, pictures_fps=rate)
    elif path.suffix.lower() == ".npy":
        every = ArraySource(path, fps=fps, pictures_fps=rate)
    else:
        from hermes_stream.video import FileSource

        every = FileSource(path, fps=fps)
    return every if clip is None else ClipSource(every, clip)


def damage_of(source: Source) -> str | None:
    """Return what broke when a source was last played; None where nothing did."""
    inner = source.every if isinstance(source, ClipSource) else source
    found: str | None = getattr(inner, "damage", None)
    return found


@final
class ArraySource:
    """Pictures in a ``.npy`` file, uint8 ``[pictures, height, width, 3]``, read as they are shown.

    Attributes:
        start_seconds: 0.
        duration_seconds: how long they last.
    """

    def __init__(self, path: Path, *, fps: float, pictures_fps: float) -> None:
        self._images = _loaded(path)
        self._fps, self._pictures_fps = fps, pictures_fps
        self.start_seconds = 0.0
        self.duration_seconds: float | None = len(self._images) / pictures_fps

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures on screen at each instant."""
        step_seconds = 1 / self._pictures_fps
        frames = (
            Frame(pts_seconds=k / self._pictures_fps, image=np.array(image), duration_seconds=step_seconds)
            for k, image in enumerate(self._images)
        )
        yield from sample_frames(frames, fps=self._fps)


@final
class FolderSource:
    """Pictures in a folder, in the order of the numbers in their names.

    Attributes:
        start_seconds: 0.
        duration_seconds: how long they last.
    """

    def __init__(self, path: Path, *, fps: float, pictures_fps: float) -> None:
        files = (file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
        self._files = sorted(files, key=lambda file: _numbers_last(file.name))
        if not self._files:
            raise VideoError(f"{path} holds no pictures ({' '.join(PICTURE_SUFFIXES)}); download them again")
        self._fps, self._pictures_fps = fps, pictures_fps
        self.start_seconds = 0.0
        self.duration_seconds: float | None = len(self._files) / pictures_fps

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures on screen at each instant.

        Raises:
            VideoError: a picture cannot be read, or is not as large as the first.
        """
        step_seconds = 1 / self._pictures_fps
        unread = np.zeros((1, 1, 3), dtype=np.uint8)
        timed = (
            Frame(pts_seconds=k / self._pictures_fps, image=unread, duration_seconds=step_seconds)
            for k in range(len(self._files))
        )
        size: tuple[int, ...] = ()
        for frame in sample_frames(timed, fps=self._fps):
            shown = min(int(frame.pts_seconds * self._pictures_fps + 1e-3), len(self._files) - 1)
            image = _picture(self._files[shown])
            size = size or image.shape
            if image.shape != size:
                raise VideoError(
                    f"{self._files[shown]} is a picture of {list(image.shape)}, but the first is of "
                    f"{list(size)}; bring all pictures of the folder to one size"
                )
            yield replace(frame, image=image)


@final
class ClipSource:
    """A part of a video, its first frame at the part's start; where no frame falls into it, the last before.

    Attributes:
        every: the whole video.
        start_seconds: where the part starts, on the video's own clock.
        duration_seconds: length of the part.
    """

    def __init__(self, every: Source, clip: Span) -> None:
        self.every = every
        self.start_seconds = every.start_seconds + clip[0]
        self._end_seconds = every.start_seconds + clip[1]
        self.duration_seconds: float | None = clip[1] - clip[0]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of the part."""
        before, num_shown = None, 0
        for frame in self.every:
            if frame.pts_seconds > self._end_seconds + _TOLERANCE_SECONDS:
                break
            if frame.pts_seconds < self.start_seconds - _TOLERANCE_SECONDS:
                before = frame
                continue
            num_shown += 1
            yield frame
        if not num_shown and before is not None:
            yield replace(before, pts_seconds=self.start_seconds)


def _loaded(path: Path) -> NDArray[np.uint8]:
    try:
        images: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise VideoError(
            f"{path} cannot be read as an array of pictures ({error}); give a .npy file of numbers, as "
            "objects are never unpickled"
        ) from error
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not len(images):
        raise VideoError(
            f"{path} holds {images.dtype} of shape {list(images.shape)}; it must hold uint8 pictures "
            "[pictures, height, width, 3]; convert it"
        )
    loaded: NDArray[np.uint8] = images
    return loaded


def _picture(path: Path) -> NDArray[np.uint8]:
    from hermes_stream.video import FileSource

    source: FileSource = FileSource(path)
    return next(iter(source)).image


def _numbers_last(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names as people count: frame2 before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
