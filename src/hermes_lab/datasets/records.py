"""JSON objects of annotations, read key by key, with errors that name place, key and value."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from hermes_lab.datasets.episode import Span
from hermes_stream.errors import AnnotationError

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_ENDLESS = 1e15
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@final
@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object. A key whose value is null counts as missing.

    Attributes:
        fields: the object.
        place: where it stands in its document, such as ``[3].questions[2]``.
    """

    fields: Mapping[str, Any]
    place: str

    def has(self, *names: str) -> bool:
        """Say whether any of the keys is there."""
        return any(self.fields.get(name) is not None for name in names)

    def text(self, *names: str) -> str:
        """Return the text under the first of the keys that is there.

        Raises:
            AnnotationError: none is there, or it holds no text.
        """
        name, value = self._first(names)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise self.wrong(name, "a non-empty text")

    def text_or(self, default: str, *names: str) -> str:
        """Return the text under the first of the keys that is there, or the default."""
        return self.text(*names) if self.has(*names) else default

    def seconds(self, name: str) -> float:
        """Return a moment or a length in seconds, written as a number or as HH:MM:SS.

        Raises:
            AnnotationError: the key is missing, or it holds no time.
        """
        _, value = self._first((name,))
        seconds = _seconds(value)
        if not (math.isfinite(seconds) and seconds >= 0):
            raise self.wrong(name, "seconds from the start of the video, 0 or more, or HH:MM:SS")
        return seconds

    def seconds_if_any(self, name: str) -> float | None:
        """Return a moment or a length in seconds, None where the key is missing."""
        return self.seconds(name) if self.has(name) else None

    def rate_if_any(self, name: str) -> float | None:
        """Return a rate per second, None where the key is missing or holds none."""
        seconds = _seconds(self.fields.get(name))
        return seconds if 0 < seconds < math.inf else None

    def index(self, name: str, size: int) -> int:
        """Return an index into a list of a size, written as a number or as its digits.

        Raises:
            AnnotationError: the key is missing, or it holds no index into that list.
        """
        _, value = self._first((name,))
        index = _whole(value)
        if index is None or not 0 <= index < size:
            raise self.wrong(name, f"an index from 0 to {size - 1}")
        return index

    def whole(self, name: str) -> int:
        """Return a whole number of at least 0, written as a number or as its digits.

        Raises:
            AnnotationError: the key is missing, or it holds something else.
        """
        _, value = self._first((name,))
        number = _whole(value)
        if number is None or number < 0:
            raise self.wrong(name, "a whole number of at least 0")
        return number

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the key is missing.

        A list may also be written as Python writes it, or as an object whose values are the texts.

        Raises:
            AnnotationError: it holds something else.
        """
        value = self.fields.get(name)
        if value is None:
            return ()
        texts = _listed(value)
        if not isinstance(texts, list) or not all(isinstance(text, str | int | float) for text in texts):
            raise self.wrong(name, "a list of texts")
        return tuple(str(text) for text in texts)

    def span(self, *names: str) -> Span | None:
        """Return a part of a video in seconds: one key with a pair, or two keys; None where none is there.

        Raises:
            AnnotationError: a key is missing of two, or they are no times in order.
        """
        if not self.has(*names):
            return None
        pair = self.fields[names[0]] if len(names) == 1 else [self.fields.get(name) for name in names]
        values = list(pair.values()) if isinstance(pair, dict) else pair
        times = [_seconds(value) for value in values] if isinstance(values, list | tuple) else []
        if len(times) != 2 or not 0 <= times[0] <= times[1] < math.inf:
            raise self.wrong(names[0], "the first of two times in seconds, in order")
        return times[0], times[1]

    def spans(self, name: str) -> tuple[Span, ...]:
        """Return a list of (from, until) pairs in seconds, empty where the key is missing.

        Raises:
            AnnotationError: it holds something else.
        """
        value = self.fields.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(_is_span(pair) for pair in value):
            raise self.wrong(name, "a list of [from, until] pairs in seconds")
        return tuple((float(start), float(end)) for start, end in value)

    def records(self, name: str) -> list[Record]:
        """Return a list of objects.

        Raises:
            AnnotationError: the key is missing, or it holds something else.
        """
        _, value = self._first((name,))
        if not isinstance(value, list):
            raise self.wrong(name, "a list of objects")
        return list(records_of(value, f"{self.place}.{name}"))

    def record_or_itself(self, name: str) -> Record:
        """Return the object under a key, and this object itself where there is none."""
        value = self.fields.get(name)
        return Record(value, f"{self.place}.{name}") if isinstance(value, dict) else self

    def wrong(self, name: str, accepted: str) -> AnnotationError:
        """Return the error for a key that holds what is not accepted."""
        return AnnotationError(
            f"{self.place}: {name!r} is {_shown(self.fields.get(name))}; it must be {accepted}; correct it"
        )

    def _first(self, names: tuple[str, ...]) -> tuple[str, Any]:
        for name in names:
            if self.fields.get(name) is not None:
                return name, self.fields[name]
        there = ", ".join(self.fields) or "no key at all"
        raise AnnotationError(
            f"{self.place} lacks {' or '.join(map(repr, names))}; it has {there}; add the key"
        )


def records_of(document: Any, place: str = "") -> Iterator[Record]:
    """Yield the objects of a list, lists within it opened.

    Raises:
        AnnotationError: something in it is no object.
    """
    for k, value in enumerate(document):
        here = f"{place}[{k}]"
        if isinstance(value, list):
            yield from records_of(value, here)
        elif isinstance(value, dict):
            yield Record(value, here)
        else:
            raise AnnotationError(f"{here} is {_shown(value)}; it must be an object with keys; correct it")


def _seconds(value: Any) -> float:
    """Return seconds, not a number where the value is no time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < _ENDLESS else math.nan
    text = value.strip() if isinstance(value, str) else ""
    if _NUMBER.fullmatch(text):
        return float(text)
    if match := _CLOCK.fullmatch(text):
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3])
    return math.nan


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    return None


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return value
    return value


def _is_span(pair: Any) -> bool:
    is_pair = isinstance(pair, list | tuple) and len(pair) == 2
    if not is_pair or not all(isinstance(t, int | float) and abs(t) < _ENDLESS for t in pair):
        return False
    return bool(0 <= pair[0] <= pair[1])


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
