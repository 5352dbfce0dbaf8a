"""What may be shown of places on this machine: names of files, without the folders in which they lie."""

from __future__ import annotations

import re
from pathlib import PurePath

# An absolute path of two parts or more; what is behind a host, a word or another slash is part of a URL.
_FOLDERS = re.compile(r"(?<![\w:/\]])(?!/dev/)(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"<>|;:,]+[/\\])+(?=[^\s/\\])")


def shown_source(address: str | None) -> str | None:
    """Return a source's address as whoever may look at the stream sees it: of a file its name alone."""
    if address is None or "://" in address or address.startswith("/dev/"):
        return address
    return PurePath(address).name or address


def without_folders(text: str, address: str | None = None) -> str:
    """Return a text in which files are called by their names alone.

    Args:
        text: such as the reason of a failure.
        address: of a source that it may name; its path may hold blanks, where others end.
    """
    shown = shown_source(address)
    if address is not None and shown is not None:
        text = text.replace(address, shown)
    return _FOLDERS.sub("", text)
