"""From a path in annotations to the video on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import final

from hermes_lab.datasets.files import is_folder, shown
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
_MAX_LETTERS = 4096
_SHOWN = 6


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
        if not is_folder(self._folder):
            raise AnnotationError(
                f"there is no folder {shown(self._folder)}; give the folder that holds the videos"
            )

    def find(self, annotated: str) -> Path:
        """Find a video by the longest end of its annotated path that exists, then by its name anywhere.

        ``/data/set/a/1.mp4`` is searched as ``data/set/a/1.mp4``, then ``set/a/1.mp4``, and so on to
        ``1.mp4``; then, in the same order, with another extension of videos; then by its name, with any of
        these extensions, in every folder below. Nothing outside the folder is read.

        Args:
            annotated: the path as annotated, from whatever machine.

        Raises:
            AnnotationError: the video is nowhere in the folder, or its name is there more than once.
        """
        if len(annotated) > _MAX_LETTERS:
            raise AnnotationError(f"the video {shown(annotated)!r} has a longer path than any file has")
        ends = _ends(annotated)
        exact = (self._folder / end for end in ends)
        renamed = (path for end in ends for path in _with_suffixes(self._folder / end))
        found = next(filter(_is_video, exact), None) or next(filter(_is_file, renamed), None)
        return found or self._find_by_name(annotated, ends)

    def _find_by_name(self, annotated: str, ends: list[PurePosixPath]) -> Path:
        tried = ", ".join(map(str, ends[:_SHOWN])) or "nothing, as it names no file"
        tried += f" and {len(ends) - _SHOWN} shorter ones" * (len(ends) > _SHOWN)
        for name in _names(ends):
            paths = self._by_name.get(name, [])
            if len(paths) > 1:
                raise AnnotationError(
                    f"the video {shown(annotated)!r} could be {paths[0]} or {paths[1]}; rename one of "
                    "them, or give the folder that holds the right one"
                )
            if paths:
                return paths[0]
        raise AnnotationError(
            f"the video {shown(annotated)!r} is not under {self._folder}; looked for {tried}, also with the "
            f"extensions {' '.join(_VIDEO_SUFFIXES)}; download it, or give another folder"
        )

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """The videos in every folder below by their names."""
        by_name: dict[str, list[Path]] = {}
        for folder, _, files in sorted(os.walk(self._folder)):
            suffix_of = {file: PurePosixPath(file).suffix.lower() for file in sorted(files)}
            for file, suffix in suffix_of.items():
                if suffix in _VIDEO_SUFFIXES:
                    by_name.setdefault(file, []).append(Path(folder, file))
            if any(suffix in PICTURE_SUFFIXES for suffix in suffix_of.values()):
                by_name.setdefault(Path(folder).name, []).append(Path(folder))
        return by_name


def _is_video(path: Path) -> bool:
    try:
        if not path.is_dir():
            return path.is_file()
        return any(one.suffix.lower() in PICTURE_SUFFIXES for one in path.iterdir())
    except OSError:  # a name too long, a folder that may not be read: nothing that can be watched
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


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
