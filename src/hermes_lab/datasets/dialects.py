"""The dialects of annotation files, and reading one without being told which it is."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_lab.datasets import (
    candidates,
    egoschema,
    oasis,
    ovo,
    streamingbench,
    unified,
    videomme,
    vstream,
)
from hermes_lab.datasets.annotated_entries import Found, gather
from hermes_lab.datasets.episode import Episode
from hermes_lab.datasets.files import Document, read_documents, read_json
from hermes_lab.datasets.records import records_of
from hermes_stream.errors import AnnotationError

Write = Callable[[Sequence[Episode]], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to write annotations.

    Attributes:
        keys: the keys that every entry has, for people.
        reads: says whether the keys of a document's first entry are of this dialect.
        read: finds the questions of a document.
        write: makes a document of episodes; None where it is only read.
    """

    keys: tuple[str, ...]
    reads: Callable[[set[str]], bool]
    read: Callable[[list[Any]], Iterator[Found]]
    write: Write | None = None

    def episodes(self, document: list[Any]) -> list[Episode]:
        """Return the episodes of a document, one for each video."""
        return gather(self.read(document))[0]


READ_DIALECTS: dict[str, Dialect] = {
    "unified": Dialect(keys=unified.KEYS, reads=unified.reads, read=unified.read, write=unified.write),
    "oasis": Dialect(keys=oasis.KEYS, reads=oasis.reads, read=oasis.read),
    "ovo": Dialect(keys=ovo.KEYS, reads=ovo.reads, read=ovo.read, write=ovo.write),
    "streamingbench": Dialect(
        keys=streamingbench.KEYS,
        reads=streamingbench.reads,
        read=streamingbench.read,
        write=streamingbench.write,
    ),
    "streamingbench_table": Dialect(
        keys=streamingbench.TABLE_KEYS, reads=streamingbench.reads_table, read=streamingbench.read_table
    ),
    "videomme": Dialect(keys=videomme.KEYS, reads=videomme.reads, read=videomme.read),
    "egoschema": Dialect(keys=egoschema.KEYS, reads=egoschema.reads, read=egoschema.read),
    "candidates": Dialect(keys=candidates.KEYS, reads=candidates.reads, read=candidates.read),
    "vstream": Dialect(keys=vstream.KEYS, reads=vstream.reads, read=vstream.read),
}
"""All dialects, in the order in which a file is tried."""

DIALECTS: dict[str, Dialect] = {name: one for name, one in READ_DIALECTS.items() if one.write}
"""The dialects that are also written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """All that a file of annotations holds.

    Attributes:
        dialect: a key of ``READ_DIALECTS``.
        episodes: one for each video, or part of one.
        num_items: entries of the file.
        oddities: what is strange about it, each with its place; none of it keeps the rest from being read.
        digest: SHA-256 of what was read, in hexadecimal digits.
    """

    dialect: str
    episodes: tuple[Episode, ...]
    num_items: int
    oddities: tuple[str, ...]
    digest: str

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
        """How many questions there are of each kind, most first."""
        kinds = Counter(question.kind for episode in self.episodes for question in episode.questions)
        return dict(kinds.most_common())


def read_annotations(path: str | Path) -> Annotations:
    """Read annotations of any dialect; their keys tell which. What is odd about an entry does not stop it.

    Args:
        path: a file, or a folder of files of one dialect.

    Raises:
        AnnotationError: a file cannot be read, is of no dialect, or holds nothing that can be.
    """
    path = Path(path)
    documents = read_documents(path)
    names = [_name_of(document) for document in documents]
    if len(set(names)) > 1:
        raise AnnotationError(
            f"{path} holds files of several dialects ({', '.join(sorted(set(names)))}); give one at a time"
        )
    entries = [entry for document in documents for entry in _entries(document, names[0])]
    episodes, oddities = gather(READ_DIALECTS[names[0]].read(entries))
    text = json.dumps(entries, sort_keys=True, default=str)
    return Annotations(
        dialect=names[0],
        episodes=tuple(episodes),
        num_items=sum(1 for _ in records_of(entries)),
        oddities=tuple(odd for document in documents for odd in document.oddities) + tuple(oddities),
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def load_annotations(path: str | Path) -> list[Episode]:
    """Return the episodes of annotations of any dialect.

    Args:
        path: a file, or a folder of files of one dialect.

    Raises:
        AnnotationError: a file cannot be read, is of no dialect, or holds nothing that can be.
    """
    return list(read_annotations(path).episodes)


def dialect_of(document: Any) -> str:
    """Return the name of a document's dialect, told by the keys of its first entry.

    Raises:
        AnnotationError: it is no list of objects, or they are of no dialect.
    """
    if not isinstance(document, list):
        raise AnnotationError(f"holds {type(document).__name__}, not a list of entries; {_accepted()}")
    first = next(records_of(document), None)
    if first is None:
        raise AnnotationError(f"holds no entries; {_accepted()}")
    keys = set(first.fields)
    name = next((name for name, dialect in READ_DIALECTS.items() if dialect.reads(keys)), None)
    if name is None:
        found = ", ".join(first.fields) or "no key at all"
        raise AnnotationError(f"{first.place} has {found}, which is of no known dialect; {_accepted()}")
    return name


def write_annotations(path: str | Path, episodes: Sequence[Episode], *, dialect: str) -> None:
    """Write annotations, the same bytes for the same episodes.

    Args:
        path: a JSON file; its folder must exist.
        episodes: what to write.
        dialect: a key of ``DIALECTS``.

    Raises:
        AnnotationError: the dialect cannot say this, or the file cannot be written.
        ValueError: the dialect is only read.
    """
    write = READ_DIALECTS[dialect].write
    if write is None:
        raise ValueError(f"annotations are not written as {dialect!r}; choose one of {', '.join(DIALECTS)}")
    text = json.dumps(write(episodes), ensure_ascii=False, indent=1, allow_nan=False)
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be written: {error.strerror}; check permissions and disk space"
        ) from error


def _name_of(document: Document) -> str:
    try:
        return dialect_of(document.entries)
    except AnnotationError as error:
        raise AnnotationError(f"{document.path}: {error}") from error


def _entries(document: Document, dialect: str) -> list[Any]:
    """Return the entries of a file, with what the file's name and its neighbours say of them."""
    if dialect == "candidates":
        return [{"task": document.path.stem, **entry} for entry in document.entries]
    if dialect == "egoschema":
        answers = document.path.with_name(egoschema.ANSWERS_FILE)
        told = read_json(answers) if answers.is_file() else {}
        return egoschema.with_answers(document.entries, told if isinstance(told, dict) else {})
    return document.entries


def _accepted() -> str:
    forms = "; ".join(f"{name}: {', '.join(dialect.keys)}" for name, dialect in READ_DIALECTS.items())
    return f"accepted are lists whose entries have ({forms})"
