"""What may be shown of places: names of files without their folders, and a database without its address."""

from __future__ import annotations

import re
from pathlib import PurePath

_DATABASE = re.compile(
    r"\bpostgresql(?:\+\w+)?://\S+"
    r"|\bconnection to server (?:at|on socket) \S+?(?: \([^)]*\))?(?:, port \d+)?(?= failed)"
)
# An absolute path of two parts or more; what is behind a host, a word or another slash is part of a URL.
_FOLDERS = re.compile(r"(?<![\w:/\]])(?!/dev/)(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"<>|;:,]+[/\\])+(?=[^\s/\\])")


def shown_source(address: str | None) -> str | None:
    """Return a source's address as whoever may look at the stream sees it: of a file its name alone."""
    if address is None or "://" in address or address.startswith("/dev/"):
        return address
    return PurePath(address).name or address


def without_folders(text: str, address: str | None = None) -> str:
    """Return a text in which files are called by their names alone, and a database by its kind.

    Args:
        text: such as the reason of a failure.
        address: of a source that it may name; its path may hold blanks, where others end.
    """
    shown = shown_source(address)
    if address is not None and shown is not None:
        text = text.replace(address, shown)
    return _FOLDERS.sub("", _DATABASE.sub("Postgres", text))
