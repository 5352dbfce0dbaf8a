"""The dialects of annotation files, and reading one without being told which it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_stream.errors import AnnotationError
from hermes_stream.evals import ovo, streamingbench, unified
from hermes_stream.evals.base import Episode
from hermes_stream.evals.records import records_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to write annotations, in both directions.

    Attributes:
        keys: the keys that every entry has, for people.
        reads: says whether the keys of a document's first entry are of this dialect.
        read: makes episodes of a document.
        write: makes a document of episodes.
    """

    keys: tuple[str, ...]
    reads: Callable[[set[str]], bool]
    read: Callable[[list[Any]], list[Episode]]
    write: Callable[[Sequence[Episode]], list[Any]]


DIALECTS: dict[str, Dialect] = {
    "unified": Dialect(keys=unified.KEYS, reads=unified.reads, read=unified.read, write=unified.write),
    "streamingbench": Dialect(
        keys=streamingbench.KEYS,
        reads=streamingbench.reads,
        read=streamingbench.read,
        write=streamingbench.write,
    ),
    "ovo": Dialect(keys=ovo.KEYS, reads=ovo.reads, read=ovo.read, write=ovo.write),
}


def load_annotations(path: str | Path) -> list[Episode]:
    """Read annotations of any dialect; their keys tell which.

    Args:
        path: a JSON file.

    Raises:
        AnnotationError: the file cannot be read, is of no dialect, or an entry of it is wrong.
    """
    document = _parsed(Path(path))
    try:
        return DIALECTS[dialect_of(document)].read(document)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error


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
    name = next((name for name, dialect in DIALECTS.items() if dialect.reads(keys)), None)
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
    """
    text = json.dumps(DIALECTS[dialect].write(episodes), ensure_ascii=False, indent=1, allow_nan=False)
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be written: {error.strerror}; check permissions and disk space"
        ) from error


def _parsed(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise AnnotationError(f"{path} does not exist; check the path") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is no text in UTF-8; give a JSON file") from error
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror}; give a JSON file") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is not JSON: {error}; give a file of annotations as JSON") from error


def _accepted() -> str:
    forms = "; ".join(f"{name}: {', '.join(dialect.keys)}" for name, dialect in DIALECTS.items())
    return f"accepted are lists whose entries have ({forms})"
