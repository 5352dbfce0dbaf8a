"""Annotation files as lists of objects: JSON, JSON lines, CSV, Parquet, or a folder of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hermes_stream.errors import AnnotationError

_CSV_FIELD_BYTES = 1 << 24
_SHOWN_LETTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one file holds.

    Attributes:
        path: the file.
        entries: objects, or lists of them.
        oddities: what else it holds, each with where it stands.
    """

    path: Path
    entries: list[Any]
    oddities: tuple[str, ...] = ()


def read_documents(path: Path) -> list[Document]:
    """Read a file, or the files of a folder in the order of their names.

    A file of a folder that holds something else than annotations comes without entries.

    Raises:
        AnnotationError: a file cannot be read, or the only one holds no list of objects.
    """
    if not is_folder(path):
        document = _read_document(path)
        if not document.entries and document.oddities:
            raise AnnotationError(f"{path}: {document.oddities[0]}")
        return [document]
    with reading(path):
        files = [one for one in sorted(path.iterdir()) if one.suffix.lower() in _READERS and one.is_file()]
    if not files:
        raise AnnotationError(
            f"{path} cannot be read: it is a folder without files {' '.join(_READERS)}; give a file of "
            "annotations, or a folder of some"
        )
    return [_read_document(file) for file in files]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the system says of a path into words.

    Raises:
        AnnotationError: it is missing, no text in UTF-8, or the system refuses it.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise AnnotationError(f"{shown(path)} does not exist; check the path") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{shown(path)} is no text in UTF-8; give a file of annotations") from error
    except OSError as error:
        raise AnnotationError(f"{shown(path)} cannot be read: {error.strerror}; give a file") from error


def shown(path: object) -> str:
    """Return a path as messages name it, its beginning alone where it is longer than a line."""
    text = str(path)
    return text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}..."


def is_folder(path: Path) -> bool:
    """Say whether a path is a folder.

    Raises:
        AnnotationError: the system refuses to say it.
    """
    with reading(path):
        return path.is_dir()


def read_text(path: Path) -> str:
    """Return what a text file holds.

    Raises:
        AnnotationError: it is missing, no text in UTF-8, or the system refuses it.
    """
    with reading(path):
        if not path.is_file() and path.exists() and not path.is_dir():
            raise AnnotationError(f"{shown(path)} is a device or a pipe; give a file")
        return path.read_text(encoding="utf-8-sig")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        AnnotationError: it is missing, or no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f"{shown(path)} is not JSON: {error}; give a file of annotations as JSON"
        ) from error


def _read_document(path: Path) -> Document:
    read = _READERS.get(path.suffix.lower(), read_json)
    content = read(path)
    if isinstance(content, dict):
        content = _entries_within(content)
    if not isinstance(content, list):
        kind = type(content).__name__
        odd = f"holds {kind}, not a list of entries; give annotations as a list"
        return Document(path=path, entries=[], oddities=(odd,))
    oddities: list[str] = []
    entries = list(_objects(content, "", oddities))
    return Document(path=path, entries=entries, oddities=tuple(oddities))


def _entries_within(content: dict[str, Any]) -> Any:
    """Take the lists out of an object that holds little else, such as one of splits or of categories."""
    values = list(content.values())
    lists = [value for value in values if isinstance(value, list) and value]
    if lists and all(isinstance(value, list | int | float | str | None) for value in values):
        is_entry = any(isinstance(value, str | int | float) for value in values) and len(lists) > 1
        return [content] if is_entry else [entry for value in lists for entry in value]
    return values if values and all(isinstance(value, dict) for value in values) else content


def _objects(values: list[Any], location: str, oddities: list[str]) -> Iterator[Any]:
    for k, value in enumerate(values):
        here = f"{location}[{k}]"
        if isinstance(value, list):
            yield list(_objects(value, here, oddities))
        elif isinstance(value, dict):
            yield value
        else:
            oddities.append(f"{here} is {str(value)[:60]!r}; it must be an object with keys; correct it")


def _read_lines(path: Path) -> list[Any]:
    entries = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            try:
                entries.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise AnnotationError(
                    f"{path}: line {number} is not JSON: {error}; give one JSON document a line"
                ) from error
    return entries


def _read_table(path: Path) -> list[Any]:
    csv.field_size_limit(_CSV_FIELD_BYTES)
    rows = csv.DictReader(read_text(path).splitlines(keepends=True))
    try:
        return [{name: value or None for name, value in row.items() if name} for row in rows]
    except csv.Error as error:
        raise AnnotationError(f"{path} is not CSV: {error}; give a table with a header") from error


def _read_parquet(path: Path) -> list[Any]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise AnnotationError(
            f"{path} is a Parquet file, which needs the package pyarrow; install it, or write the table as "
            "JSON, JSONL or CSV"
        ) from error
    try:
        return list(parquet.read_table(path).to_pylist())
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError, MemoryError) as error:
        raise AnnotationError(f"{path} is no Parquet file: {error}; download it again") from error


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": read_json,
    ".jsonl": _read_lines,
    ".csv": _read_table,
    ".parquet": _read_parquet,
}
