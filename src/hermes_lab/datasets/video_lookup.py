"""From a path in annotations to the video on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import final

from hermes_stream.errors import AnnotationError

# Repacked data sets change the container and keep the name; a name may also be that of sound or subtitles.
_VIDEO_SUFFIXES = (
    ".mp4",
    ".mkv",
    ".webm",
    ".mov",
    ".avi",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".flv",
    ".wmv",
    ".3gp",
    ".npy",
)
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Files of a folder that holds a video as pictures."""


@final
class VideoFinder:
    """Finds videos under one folder: files, arrays of pictures, or folders of pictures.

    Args:
        folder: where videos are.

    Raises:
        AnnotationError: the folder does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._by_name: dict[str, list[Path]] | None = None
        if not self._folder.is_dir():
            raise AnnotationError(f"there is no folder {self._folder}; give the folder that holds the videos")

    def find(self, annotated: str) -> Path:
        """Find a video by the longest end of its annotated path that exists, then by its name anywhere.

        ``/data/set/a/1.mp4`` is looked for as ``data/set/a/1.mp4``, then ``set/a/1.mp4``, and so on to
        ``1.mp4``; then, in the same order, with another extension of videos; then by its name, with any of
        these extensions, in every folder below. Nothing outside the folder is looked at.

        Args:
            annotated: the path as annotated, from whatever machine.

        Raises:
            AnnotationError: the video is nowhere in the folder, or its name is there more than once.
        """
        ends = _ends(annotated)
        for end in ends:
            if _is_video(self._folder / end):
                return self._folder / end
        for end in ends:
            for path in _with_suffixes(self._folder / end):
                if path.is_file():
                    return path
        return self._find_by_name(annotated, ends)

    def _find_by_name(self, annotated: str, ends: list[PurePosixPath]) -> Path:
        tried = ", ".join(map(str, ends)) or "nothing, as it names no file"
        named = self._videos_below() if ends else {}
        for name in _names(ends):
            paths = named.get(name, [])
            if len(paths) > 1:
                raise AnnotationError(
                    f"the video {annotated!r} could be {paths[0]} or {paths[1]}; rename one of them, or give "
                    "the folder that holds the right one"
                )
            if paths:
                return paths[0]
        raise AnnotationError(
            f"the video {annotated!r} is not under {self._folder}; looked for {tried}, also with the "
            f"extensions {' '.join(_VIDEO_SUFFIXES)}; download it, or give another folder"
        )

    def _videos_below(self) -> dict[str, list[Path]]:
        """Return the videos in every folder below by their names, listed once."""
        if self._by_name is None:
            self._by_name = {}
            for folder, _, files in sorted(os.walk(self._folder)):
                for file in sorted(files):
                    if PurePosixPath(file).suffix.lower() in _VIDEO_SUFFIXES:
                        self._by_name.setdefault(file, []).append(Path(folder, file))
                if any(PurePosixPath(file).suffix.lower() in PICTURE_SUFFIXES for file in files):
                    self._by_name.setdefault(Path(folder).name, []).append(Path(folder))
        return self._by_name


def find_video(annotated: str, folder: str | Path) -> Path:
    """Find one video under a folder; see ``VideoFinder.find``.

    Args:
        annotated: the path as annotated, from whatever machine.
        folder: where videos are.

    Raises:
        AnnotationError: the folder does not exist, or the video is not there.
    """
    return VideoFinder(folder).find(annotated)


def _is_video(path: Path) -> bool:
    if not path.is_dir():
        return path.is_file()
    return any(one.suffix.lower() in PICTURE_SUFFIXES for one in path.iterdir())


def _with_suffixes(path: Path) -> Iterator[Path]:
    """Yield a path with other extensions; a dot within a name need not begin one."""
    if path.name in ("", ".", ".."):
        return
    for suffix in _VIDEO_SUFFIXES:
        yield path.with_suffix(suffix)
    if path.suffix.lower() not in _VIDEO_SUFFIXES:
        for suffix in _VIDEO_SUFFIXES:
            yield path.with_name(path.name + suffix)


def _names(ends: list[PurePosixPath]) -> list[str]:
    """Return the names by which a video may be there, its own first."""
    if not ends:
        return []
    last = ends[-1]
    return [last.name, *(path.name for path in _with_suffixes(Path(last))), last.stem]


def _ends(annotated: str) -> list[PurePosixPath]:
    """Return the ends of a path, longest first, none of which leads upwards."""
    parts = [part for part in annotated.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    return [PurePosixPath(*parts[k:]) for k in range(len(parts))]
