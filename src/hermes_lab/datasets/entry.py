"""One JSON object of an annotation file, read key by key, with errors that name location, key and value."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from hermes_lab.datasets.episode import Span
from hermes_stream.errors import AnnotationError

_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:\.\d+)?)")
_ENDLESS = 1e15
_MAX_DIGITS = 18
_SHOWN_KEYS, _SHOWN_VALUE = 400, 60
_MAX_LITERAL_LETTERS = 1 << 16
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One JSON object. A key whose value is null counts as missing.

    Attributes:
        fields: the object.
        location: where it stands in its document, such as ``[3].questions[2]``.
        number: which of the entries it is that another one lists, from 0.
    """

    fields: Mapping[str, Any]
    location: str
    number: int = 0

    @property
    def keys(self) -> str:
        """The keys that are there, in one line; odd ones as Python writes them."""
        names = [name if name.isprintable() else repr(name) for name in self.fields]
        return _cut(", ".join(names), _SHOWN_KEYS) or "no key at all"

    def has(self, *names: str) -> bool:
        """Say whether any of the keys is there."""
        return any(self.fields.get(name) is not None for name in names)

    def text(self, *names: str, default: str | None = None) -> str:
        """Return the text under the first of the keys that is there.

        Args:
            names: keys; a number is taken for its digits.
            default: what is returned if none of them is there; None makes that an error.

        Raises:
            AnnotationError: none is there, or it holds no text.
        """
        if default is not None and not self.has(*names):
            return default
        name, value = self._first(names)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise self.wrong(name, "a non-empty text")

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
        """Return a moment or a length in seconds, None if the key is missing."""
        return self.seconds(name) if self.has(name) else None

    def share_if_any(self, name: str) -> float | None:
        """Return a number from 0 to 1, None if the key is missing.

        Raises:
            AnnotationError: it holds something else.
        """
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self.wrong(name, "a number from 0 to 1")
        return float(value)

    def is_set(self, name: str) -> bool:
        """Return whether a key holds true; False if it is missing.

        Raises:
            AnnotationError: it holds something else than true or false.
        """
        value = self.fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value is True

    def seconds_or_none(self, name: str) -> float | None:
        """Return a moment or a length in seconds, None if the key is missing or holds no time."""
        seconds = _seconds(self.fields.get(name))
        return seconds if 0 <= seconds < math.inf else None

    def rate_if_any(self, name: str) -> float | None:
        """Return a rate per second, None if the key is missing or holds none."""
        seconds = _seconds(self.fields.get(name))
        return seconds if 0 < seconds < math.inf else None

    def whole(self, name: str, *, below: int | None = None) -> int:
        """Return a whole number of at least 0, written as a number or as its digits.

        Args:
            name: the key.
            below: what the number must be less than, such as the length of a list that it is an index of.

        Raises:
            AnnotationError: the key is missing, or it holds something else.
        """
        _, value = self._first((name,))
        number = _whole(value)
        if number is None or number < 0 or (below is not None and number >= below):
            accepted = "a whole number of at least 0" if below is None else f"an index from 0 to {below - 1}"
            raise self.wrong(name, accepted)
        return number

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty if the key is missing.

        A list may also be written as Python writes it, or as an object whose values are the texts.

        Raises:
            AnnotationError: it holds something else.
        """
        value = self.fields.get(name)
        if value is None:
            return ()
        texts = _list_from(value)
        if not isinstance(texts, list) or not all(isinstance(text, str | int | float) for text in texts):
            raise self.wrong(name, "a list of texts")
        return tuple(str(text) for text in texts)

    def span(self, *names: str) -> Span | None:
        """Return a part of a video in seconds: one key with a pair, or two keys; None if none is there.

        Raises:
            AnnotationError: a key is missing of two, or they are no times in order.
        """
        if not self.has(*names):
            return None
        pair = self.fields[names[0]] if len(names) == 1 else [self.fields.get(name) for name in names]
        span = _span(list(pair.values()) if isinstance(pair, dict) else pair)
        if span is None:
            raise self.wrong(names[0], "the first of two times in seconds, in order")
        return span

    def spans(self, name: str) -> tuple[Span, ...]:
        """Return a list of (from, until) pairs in seconds, empty if the key is missing.

        Raises:
            AnnotationError: it holds something else.
        """
        value = self.fields.get(name)
        pairs = [] if value is None else value
        spans = [_span(pair) for pair in pairs] if isinstance(pairs, list) else [None]
        if None in spans:
            raise self.wrong(name, "a list of [from, until] pairs in seconds")
        return tuple(span for span in spans if span is not None)

    def entries(self, name: str) -> list[Entry]:
        """Return a list of objects.

        Raises:
            AnnotationError: the key is missing, or it holds something else.
        """
        _, value = self._first((name,))
        if not isinstance(value, list):
            raise self.wrong(name, "a list of objects")
        listed = entries_of(value, f"{self.location}.{name}")
        return [replace(entry, number=number) for number, entry in enumerate(listed)]

    def wrong(self, name: str, accepted: str) -> AnnotationError:
        """Return the error for a key that holds what is not accepted."""
        found = _shortened(self.fields.get(name))
        return AnnotationError(f"{self.location}: {name!r} is {found}; it must be {accepted}; correct it")

    def _first(self, names: tuple[str, ...]) -> tuple[str, Any]:
        for name in names:
            if self.fields.get(name) is not None:
                return name, self.fields[name]
        wanted = " or ".join(map(repr, names))
        raise AnnotationError(f"{self.location} lacks {wanted}; it has {self.keys}; add the key")


def entries_of(value: Any, location: str = "") -> Iterator[Entry]:
    """Yield the objects of a document, those in lists within lists too.

    Args:
        value: an object, or a list of objects and of such lists.
        location: where it stands in its document.

    Raises:
        AnnotationError: something in it is no object.
    """
    if isinstance(value, list):
        for k, inner in enumerate(value):
            yield from entries_of(inner, f"{location}[{k}]")
    elif isinstance(value, dict):
        yield Entry(value, location)
    else:
        raise AnnotationError(
            f"{location} is {_shortened(value)}; it must be an object with keys; correct it"
        )


def whole_letters(text: str) -> str:
    """Return a text with each half of a letter (a lone surrogate) replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _seconds(value: Any) -> float:
    """Return seconds, not a number if the value is no time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < _ENDLESS else math.nan
    text = value.strip() if isinstance(value, str) else ""
    if _NUMBER.fullmatch(text):
        return float(text)
    if match := _CLOCK.fullmatch(text):
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3])
    return math.nan


def _span(pair: Any) -> Span | None:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return None
    start, end = map(_seconds, pair)
    return (start, end) if 0 <= start <= end < math.inf else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value.strip()) <= _MAX_DIGITS:
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    return None


def _list_from(value: Any) -> Any:
    if isinstance(value, dict):
        return list(value.values())
    # a literal takes a hundred times its letters in memory while it is read
    if isinstance(value, str) and value.lstrip().startswith("[") and len(value) <= _MAX_LITERAL_LETTERS:
        try:
            return ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return value
    return value


def _shortened(value: Any) -> str:
    return _cut(repr(value), _SHOWN_VALUE)


def _cut(text: str, num_letters: int) -> str:
    return text if len(text) <= num_letters else f"{text[: num_letters - 3]}..."
