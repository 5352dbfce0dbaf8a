"""Texts as the record keeps them: what databases take, and what of an event is searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SEARCHED = ("name", "question", "answer", "value", "text", "description", "summary", "reason", "guess")
"""Fields of an event's payload whose words it is found by, in the order in which they are shown."""


def storable(text: str) -> str:
    """Return a text as databases take it: without NUL, without halves of characters."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def searched_text(payload: Mapping[str, Any]) -> str:
    """Return the words of an event, each field on a line of its own; empty where it has none."""
    found = (payload.get(name) for name in SEARCHED)
    return storable("\n".join(str(value) for value in found if value not in (None, "")))
