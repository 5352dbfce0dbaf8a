"""The page's files, read once: each with its type, its compressed form, and one version for all of them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

FOLDER = "page"
INDEX = "index.html"
# The page names its own files below this; the version goes in between, so that they may be kept for ever.
BASE = "/page/"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A file of the page.

    Attributes:
        media_type: its type.
        content: as it is.
        compressed: the same as gzip.
    """

    media_type: str
    content: bytes
    compressed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFiles:
    """All files of the page.

    Attributes:
        version: changes when any of them does.
        index: the document, which names the others under their version.
        files: the others, by their path.
    """

    version: str
    index: PageFile
    files: Mapping[str, PageFile]


def read_page() -> PageFiles:
    """Return the page as it is installed."""
    contents = dict(sorted(_found(files("hermes_stream.server") / FOLDER)))
    digest = hashlib.sha256()
    for path, content in contents.items():
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    version = digest.hexdigest()[:16]
    index = contents.pop(INDEX).replace(BASE.encode(), f"{BASE}{version}/".encode())
    return PageFiles(
        version=version,
        index=_file(INDEX, index),
        files={path: _file(path, content) for path, content in contents.items()},
    )


def _found(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found = []
    for one in folder.iterdir():
        if one.is_dir():
            found += _found(one, f"{prefix}{one.name}/")
        elif _suffix(one.name) in _TYPES:
            found.append((prefix + one.name, one.read_bytes()))
    return found


def _file(path: str, content: bytes) -> PageFile:
    # without a time in it: the same files are the same bytes
    compressed = gzip.compress(content, mtime=0)
    return PageFile(media_type=_TYPES[_suffix(path)], content=content, compressed=compressed)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
