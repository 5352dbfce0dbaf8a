"""From a path in annotations to the file on this machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

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
)


def find_video(annotated: str, folder: str | Path) -> Path:
    """Find a video under a folder by the longest end of its annotated path that exists there.

    ``/data/set/a/1.mp4`` is looked for as ``data/set/a/1.mp4``, then ``set/a/1.mp4``, and so on to ``1.mp4``;
    then, in the same order, with another extension of videos. Nothing outside the folder is looked at.

    Args:
        annotated: the path as annotated, from whatever machine.
        folder: where videos are.

    Raises:
        AnnotationError: the folder does not exist, or the video is nowhere in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AnnotationError(f"there is no folder {folder}; give the folder that holds the videos")
    ends = _ends(annotated)
    for end in ends:
        if (folder / end).is_file():
            return folder / end
    for end in ends:
        for suffix in _VIDEO_SUFFIXES:
            if end.name and (folder / end).with_suffix(suffix).is_file():
                return (folder / end).with_suffix(suffix)
    tried = ", ".join(map(str, ends)) or "nothing, as it names no file"
    raise AnnotationError(
        f"the video {annotated!r} is not under {folder}; looked for {tried}, also with the extensions "
        f"{' '.join(_VIDEO_SUFFIXES)}; download it, or give another folder"
    )


def _ends(annotated: str) -> list[PurePosixPath]:
    """Return the ends of a path, longest first, none of which leads upwards."""
    parts = [part for part in annotated.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    return [PurePosixPath(*parts[k:]) for k in range(len(parts))]
