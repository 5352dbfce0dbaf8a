"""Names with fields behind them: ``NAME:FIELD=VALUE,...``, values as in JSON, or bare strings."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

_OPENING, _CLOSING = "[({", "])}"
_QUOTED_OR_LETTER = re.compile(r'"(?:[^"\\]|\\.)*"|.', re.DOTALL)
_AS_IN_PYTHON = {"True": True, "False": False, "None": None}


def split_at_commas(text: str) -> list[str]:
    """Split at commas outside brackets and quotes; the pieces come without spaces around them."""
    parts, depth = [""], 0
    for piece in _QUOTED_OR_LETTER.findall(text):
        depth += (piece in _OPENING) - (piece in _CLOSING)
        if piece == "," and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts]


def read_fields(text: str, known: Collection[str], *, strings: Collection[str] = ()) -> dict[str, Any]:
    """Read fields with their values; lists and what stands in round brackets are tuples.

    Args:
        text: ``FIELD=VALUE,...``, or nothing.
        known: names of the fields that there are.
        strings: names of the fields whose values stay as they are written.

    Raises:
        ValueError: there is no such field, or a field without a value.
    """
    read = {}
    for field in filter(None, split_at_commas(text)):
        name, equals, value = (part.strip() for part in field.partition("="))
        if not equals or name not in known:
            raise ValueError(f"{field!r} is not a field with its value; fields: {', '.join(known) or 'none'}")
        read[name] = value if name in strings else _read_value(value)
    return read


def _read_value(text: str) -> Any:
    if text in _AS_IN_PYTHON:
        return _AS_IN_PYTHON[text]
    try:
        pieces = _QUOTED_OR_LETTER.findall(text)
        value = json.loads("".join({"(": "[", ")": "]"}.get(piece, piece) for piece in pieces))
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value
