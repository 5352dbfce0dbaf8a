"""A policy as a word on the command line: its name, and fields that differ from its defaults.

``hermes``, or ``hermes:summarize=false,protect_recent_frames=2``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from hermes_stream.policies import MemoryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChoice:
    """A policy that a user chose.

    Attributes:
        make: makes it from a budget, or from none where it takes none.
        takes_budget: tells whether it takes one.
    """

    make: Callable[..., MemoryPolicy]
    takes_budget: bool


def read_policy(words: str, *, option: str = "--policy") -> PolicyChoice:
    """Read a policy's name and fields.

    Args:
        words: ``NAME`` or ``NAME:FIELD=VALUE,...``; values as in JSON, or bare words.
        option: where the words were given, for the complaint.

    Raises:
        BadParameter: there is no such policy or field, or the policy refuses a value.
    """
    from hermes_stream.policies import POLICIES

    name, _, rest = words.partition(":")
    if name not in POLICIES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(POLICIES)}", param_hint=option)
    made: Any = POLICIES[name]
    known = [field.name for field in fields(made()) if field.name != "budget_tokens"]
    chosen = dict(_read_field(one, known, words, option) for one in _split(rest))

    def make(**budget: int) -> MemoryPolicy:
        if isinstance(made, type):
            return made(**budget, **chosen)
        return replace(made(**budget), **chosen)  # a preset takes its budget alone

    try:
        takes_budget = make().budget_tokens is not None
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(f"{words!r}: {error}", param_hint=option) from error
    return PolicyChoice(make=make, takes_budget=takes_budget)


def _split(rest: str) -> list[str]:
    """Split at commas outside brackets."""
    parts, depth = [""], 0
    for letter in rest:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]


def _read_field(one: str, known: list[str], words: str, option: str) -> tuple[str, Any]:
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
