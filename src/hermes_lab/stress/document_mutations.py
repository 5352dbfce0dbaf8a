"""Damage to JSON documents: odd values, keys and entries that are missing, there twice or elsewhere."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Slot = tuple[Any, Any]
"""A list or an object, and the index or key of a value in it."""

_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2.5, 1e9, 1e15, 1e308, -0.0, float("nan"), float("inf"), 10**30),
    *("", " ", "A", "B.", "AB", "yes", "-1", "1e9", "nan", "9" * 5000, "00:00:99", "99:99:99:99", "1:2"),
    *("\ud800", "\x00", "\u202e", "\u0663", "a/../../etc/passwd", "/" * 5000, "a/" * 3000, "x" * 100_000),
    *("[" * 3000, "['a', 'b']", "[" + "1," * 9000 + "]", "{}", "[[]]", "None"),
    *([], {}, [[]], [None], [1, 2], [2, 1], {"a": 1}, ["A. ", "B. "], ["x"] * 30, ["", "", ""], ["B"]),
)
_NAMES = ("question", "answer", "video", "options", "id", "test_info", "questions", "", "\ud800", "response")


def damaged_document(document: Any, rng: random.Random) -> tuple[Any, list[str]]:
    """Return a document with one to four mutations, and their names.

    Args:
        document: as JSON has it; it is left as it is.
        rng: decides.
    """
    damaged = copy.deepcopy(document)
    names = []
    for _ in range(rng.randint(1, 4)):
        name = rng.choice(list(_MUTATIONS))
        slots = _slots(damaged)
        if slots:
            with suppress(RecursionError):  # what was wrapped too often can be neither copied nor written
                _MUTATIONS[name](rng.choice(slots), rng)
                names.append(name)
    return damaged, names


def _slots(document: Any) -> list[Slot]:
    """Return where values stand in a list or an object."""
    found: list[Slot] = []
    waiting: list[Any] = [document]
    while waiting:
        holder = waiting.pop()
        keys = range(len(holder)) if isinstance(holder, list) else list(holder)
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], list | dict):
                waiting.append(holder[key])
    return found


def _replace(slot: Slot, rng: random.Random) -> None:
    holder, key = slot
    holder[key] = copy.deepcopy(rng.choice(_ODD))


def _remove(slot: Slot, _: random.Random) -> None:
    holder, key = slot
    del holder[key]


def _repeat(slot: Slot, rng: random.Random) -> None:
    holder, key = slot
    if isinstance(holder, list):
        holder.extend([holder[key]] * rng.choice((1, 2, 30)))
    else:
        holder[rng.choice(_NAMES)] = copy.deepcopy(holder[key])


def _rename(slot: Slot, rng: random.Random) -> None:
    holder, key = slot
    if isinstance(holder, dict):
        holder[rng.choice(_NAMES)] = holder.pop(key)


def _wrap(slot: Slot, rng: random.Random) -> None:
    holder, key = slot
    for _ in range(rng.choice((1, 2, 50, 400))):
        holder[key] = [holder[key]] if rng.random() < 0.7 else {"a": holder[key]}


def _unwrap(slot: Slot, rng: random.Random) -> None:
    holder, key = slot
    value = holder[key]
    inner = list(value.values()) if isinstance(value, dict) else value
    if isinstance(inner, list) and inner:
        holder[key] = rng.choice(inner)


def _as_text(slot: Slot, _: random.Random) -> None:
    holder, key = slot
    holder[key] = str(holder[key])


def _swap(slot: Slot, rng: random.Random) -> None:
    holder, key = slot
    other = rng.choice(list(range(len(holder))) if isinstance(holder, list) else list(holder))
    holder[key], holder[other] = holder[other], holder[key]


_MUTATIONS: dict[str, Callable[[Slot, random.Random], None]] = {
    "replace": _replace,
    "remove": _remove,
    "repeat": _repeat,
    "rename": _rename,
    "wrap": _wrap,
    "unwrap": _unwrap,
    "as text": _as_text,
    "swap": _swap,
}


def damaged_bytes(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Return bytes that were cut, changed, or repeated, and which of it."""
    kind = rng.choice(("cut", "flip", "insert", "repeat", "drop"))
    at = rng.randrange(len(content) + 1)
    if kind == "cut":
        return content[:at], kind
    if kind == "flip":
        changed = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed), kind
    end = min(at + rng.randint(1, 200), len(content))
    if kind == "insert":
        return content[:at] + rng.choice((b"\x00", b"\xff\xfe", b",", b"]", b'"', b"\n")) + content[at:], kind
    if kind == "repeat":
        return content[:at] + content[at:end] * rng.choice((2, 50)) + content[end:], kind
    return content[:at] + content[end:], kind
