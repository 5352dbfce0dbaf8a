"""Reading annotation files of any dialect, and writing them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_lab.datasets.dialects import DIALECTS, WRITABLE_DIALECTS
from hermes_lab.datasets.entry import entries_of
from hermes_lab.datasets.episode import Episode
from hermes_lab.datasets.files import Document, read_documents
from hermes_stream.errors import AnnotationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """All that a file of annotations holds.

    Attributes:
        dialect: a key of ``DIALECTS``.
        episodes: one for each video, or part of one.
        num_items: entries of the file.
        oddities: what is strange about entries, each with where it stands; none stops the rest.
        files_left_out: files of a folder that hold no annotations, each with the reason.
        digest: SHA-256 of what was read, in hexadecimal digits.
    """

    dialect: str
    episodes: tuple[Episode, ...]
    num_items: int
    oddities: tuple[str, ...]
    digest: str
    files_left_out: tuple[str, ...] = ()

    @property
    def num_videos(self) -> int:
        """How many videos questions are about."""
        return len({episode.video for episode in self.episodes if episode.video})

    @property
    def num_questions(self) -> int:
        """How many questions there are, those included that cannot be asked."""
        return sum(len(episode.questions) + len(episode.left_out) for episode in self.episodes)

    @property
    def tasks(self) -> dict[str, int]:
        """How many questions there are of each kind, the most frequent kind first."""
        kinds = Counter(question.kind for episode in self.episodes for question in episode.questions)
        return dict(kinds.most_common())


def read_annotations(path: str | Path) -> Annotations:
    """Read annotations of any dialect; their keys tell which. What is odd about an entry does not stop it.

    Files of a folder that are no annotations are left out.

    Args:
        path: a file, or a folder of files of one dialect.

    Raises:
        AnnotationError: a file cannot be read, is of no dialect, or holds nothing that can be.
    """
    path = Path(path)
    try:
        return _read(path)
    except RecursionError as error:
        raise AnnotationError(f"{path} is nested too deeply; give a list of entries") from error


def _read(path: Path) -> Annotations:
    by_dialect: dict[str, list[Document]] = {}
    left_out = []
    for document in read_documents(path):
        try:
            by_dialect.setdefault(_dialect_of(document), []).append(document)
        except AnnotationError as error:
            left_out.append(error)
    if not by_dialect:
        raise left_out[0]
    if len(by_dialect) > 1:
        names = ", ".join(sorted(by_dialect))
        raise AnnotationError(f"{path} holds files of several dialects ({names}); give one at a time")
    ((name, documents),) = by_dialect.items()
    dialect = DIALECTS[name]
    entries = [entry for document in documents for entry in dialect.complete(document)]
    episodes, oddities = dialect.episodes(entries)
    text = json.dumps(entries, sort_keys=True, default=str)
    return Annotations(
        dialect=name,
        episodes=tuple(episodes),
        num_items=sum(1 for _ in entries_of(entries)),
        oddities=tuple(odd for document in documents for odd in document.oddities) + tuple(oddities),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        files_left_out=tuple(map(str, left_out)),
    )


def load_annotations(path: str | Path) -> list[Episode]:
    """Return the episodes of annotations of any dialect; see ``read_annotations``."""
    return list(read_annotations(path).episodes)


def dialect_of(document: Any) -> str:
    """Return the name of a document's dialect by the keys of its first entry.

    Raises:
        AnnotationError: it is no list of objects, or they are of no dialect.
    """
    if not isinstance(document, list):
        raise AnnotationError(f"holds {type(document).__name__}, not a list of entries; {_accepted()}")
    first = next(entries_of(document), None)
    if first is None:
        raise AnnotationError(f"holds no entries; {_accepted()}")
    name = next((name for name, dialect in DIALECTS.items() if dialect.matches(first)), None)
    if name is None:
        raise AnnotationError(
            f"{first.location} has {first.keys}, which is of no known dialect; {_accepted()}"
        )
    return name


def write_annotations(path: str | Path, episodes: Sequence[Episode], *, dialect: str) -> None:
    """Write annotations, the same bytes for the same episodes.

    Args:
        path: a JSON file; its folder must exist.
        episodes: what to write.
        dialect: a key of ``WRITABLE_DIALECTS``.

    Raises:
        AnnotationError: the dialect cannot say this, or the file cannot be written.
        ValueError: the dialect is only read.
    """
    write = DIALECTS[dialect].write
    if write is None:
        writable = ", ".join(WRITABLE_DIALECTS)
        raise ValueError(f"annotations are not written as {dialect!r}; choose one of {writable}")
    text = json.dumps(write(episodes), ensure_ascii=False, indent=1, allow_nan=False)
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be written: {error.strerror}; check permissions and disk space"
        ) from error


def _dialect_of(document: Document) -> str:
    if not document.entries and document.oddities:
        raise AnnotationError(f"{document.path}: {document.oddities[0]}")
    try:
        return dialect_of(document.entries)
    except AnnotationError as error:
        raise AnnotationError(f"{document.path}: {error}") from error


def _accepted() -> str:
    forms = "; ".join(
        f"{name}: {' or '.join(' and '.join(keys) for keys in dialect.signatures)}"
        for name, dialect in DIALECTS.items()
    )
    return f"accepted are lists whose entries have ({forms})"
