"""A digest in a folder: ``digest.json``, ``digest.html``, and the pictures that both show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hermes_stream.digest.document import digest_document
from hermes_stream.digest.page import ReadPicture, page_of
from hermes_stream.digest.values import Digest, Picture


class DigestFolder:
    """Writes digests and reports to a folder, which is made.

    Args:
        path: of the folder.
        read_picture: returns a picture's file; None where it is gone.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, read_picture: ReadPicture) -> None:
        self.path, self._read = path, read_picture
        (path / "pictures").mkdir(parents=True, exist_ok=True)

    def write(self, digest: Digest) -> dict[str, Any]:
        """Write a digest; return its document.

        Raises:
            OSError: it cannot be written.
        """
        document = digest_document(digest, self.picture)
        page = page_of([digest], title=Path(digest.source).name or digest.source, read_picture=self._read)
        write_whole(self.path / "digest.json", as_json(document))
        write_whole(self.path / "digest.html", page)
        return document

    def picture(self, picture: Picture) -> str | None:
        """Write a picture; return its path within the folder."""
        jpeg = self._read(picture)
        if jpeg is None:
            return None
        name = f"pictures/{picture.stream_seconds:012.3f}.jpg"
        (self.path / name).write_bytes(jpeg)
        return name


def in_hand(picture: Picture) -> bytes | None:
    """Return a picture that is in hand."""
    return picture.jpeg


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under its name once it is whole; where it cannot be, nothing is left.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        unfinished.replace(path)
    except OSError as error:
        error.filename = str(path)  # what was asked for
        raise
    finally:
        with suppress(OSError):
            unfinished.unlink()


def as_json(document: Mapping[str, Any]) -> str:
    """Return a document as text for a file."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
