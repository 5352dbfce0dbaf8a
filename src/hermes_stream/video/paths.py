"""What may be opened: regular files of this machine, and nothing that waits, never ends or is elsewhere."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from hermes_stream.errors import VideoError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_MAX_SHOWN = 300


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that is not a URL.

    Raises:
        VideoError: it is a URL.
    """
    text = os.fspath(path)
    if "://" in text or (_URL.match(text) and not _exists(text)):
        scheme = readable(text.partition(":")[0])
        # Not the address itself, which may hold a password.
        raise VideoError(
            f"what begins with {scheme}: is a URL, and a file's path is wanted here; download it, or give it "
            "to open_source, which reads cameras and streams"
        )
    return Path(text)


def check_readable(path: Path) -> None:
    """Check that a path names a regular file with something in it, without opening it.

    Raises:
        VideoError: it is missing, out of reach, a folder, a device, a pipe or empty.
    """
    name = readable(path)
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(f"{name} does not exist; check the path{_where_relative(path)}") from error
    except OSError as error:
        raise VideoError(
            f"{name} cannot be reached: {error.strerror}; check the path, and the permissions of its folders"
        ) from error
    except ValueError as error:
        raise VideoError(f"{name} is no name that a file can have ({error}); check the path") from error
    if stat.S_ISDIR(found.st_mode):
        raise VideoError(f"{name} is a folder; give the path of one video file in it")
    if not stat.S_ISREG(found.st_mode):
        raise VideoError(f"{name} is not a regular file; devices and pipes are not read, give a video file")
    if found.st_size == 0:
        raise VideoError(f"{name} is empty (0 bytes); its copy or recording never finished, make it again")


def readable(path: str | os.PathLike[str]) -> str:
    """Return a path as a message can show it: any terminal or log takes it, and it is not endless."""
    text = os.fspath(path).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    half = _MAX_SHOWN // 2
    return text if len(text) <= _MAX_SHOWN else f"{text[:half]}...{text[-half:]}"


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:
        return False


def _where_relative(path: Path) -> str:
    if path.is_absolute():
        return ""
    try:
        return f" (relative paths start at {Path.cwd()})"
    except OSError:
        return " (it is relative, and the folder that this was started in is gone)"
