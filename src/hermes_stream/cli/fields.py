"""Fields behind a name on the command line: ``NAME:FIELD=VALUE,...``, values as in JSON, or bare words."""

from __future__ import annotations

import json
from typing import Any

import typer

_OPENING, _CLOSING = "[({", "])}"


def split_fields(rest: str) -> list[str]:
    """Split what follows the colon at commas outside brackets."""
    parts, depth = [""], 0
    for letter in rest:
        depth += (letter in _OPENING) - (letter in _CLOSING)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]


def read_field(one: str, known: list[str], words: str, option: str) -> tuple[str, Any]:
    """Read one field and its value; lists and what stands in round brackets are tuples.

    Args:
        one: ``FIELD=VALUE``.
        known: names of the fields that there are.
        words: all that was given, for the complaint.
        option: where it was given, for the complaint.

    Raises:
        BadParameter: there is no such field, or no value.
    """
    name, equals, value = (part.strip() for part in one.partition("="))
    if not equals or name not in known:
        raise typer.BadParameter(
            f"{words!r}: {one.strip()!r} is not a field with its value; fields: {', '.join(known) or 'none'}",
            param_hint=option,
        )
    try:
        read = json.loads(value.replace("(", "[").replace(")", "]"))
    except ValueError:
        read = value
    return name, tuple(read) if isinstance(read, list) else read
