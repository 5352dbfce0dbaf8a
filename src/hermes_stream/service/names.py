"""Names of streams: they are ids in addresses, and parts of paths."""

from __future__ import annotations

import re

STREAM_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Pattern of a stream's name, but for a dot at its end."""

_NAME = re.compile(STREAM_NAME)
_PICTURE = re.compile(rf"\d{{4,}}-{STREAM_NAME}/\d{{4}}-\d\d-\d\d/-?\d+\.\d{{6}}\.jpg")


def check_stream_name(name: str) -> str:
    """Return a name that a stream may have.

    Raises:
        ValueError: it may not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith("."):
        raise ValueError(
            f"a stream's name must be 1 to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter "
            f"or digit and not ending with a dot; got {name!r}"
        )
    return name


def check_picture_path(path: str) -> str:
    """Return the path of a picture within the folder of pictures, as events and answers cite it.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(path, str) or not _PICTURE.fullmatch(path):
        raise ValueError(f"a picture is STREAM/DAY/SECONDS.jpg as events and answers cite it, got {path!r}")
    return path
