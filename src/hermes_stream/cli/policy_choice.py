"""A policy as a word on the command line: its name, and fields that differ from its defaults.

``hermes``, or ``hermes:summarize=false,protect_recent_patches=2``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import typer

from hermes_stream.cli.fields import read_field, split_fields

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
    chosen = dict(read_field(one, known, words, option) for one in split_fields(rest))

    def make(**budget: int) -> MemoryPolicy:
        if isinstance(made, type):
            return made(**budget, **chosen)
        return replace(made(**budget), **chosen)  # a preset takes its budget alone

    try:
        takes_budget = make().budget_tokens is not None
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(f"{words!r}: {error}", param_hint=option) from error
    return PolicyChoice(make=make, takes_budget=takes_budget)
