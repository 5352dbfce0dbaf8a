"""A policy on the command line: its name, and fields that differ from its defaults.

``hermes``, or ``hermes:summarize=false,protect_recent_patches=2``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import typer

from hermes_stream.cli.fields import read_fields

if TYPE_CHECKING:
    from hermes_stream.policies import MemoryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChoice:
    """A policy that a user chose.

    Attributes:
        make: makes the policy from ``budget_tokens``, or from nothing where it takes no budget.
        takes_budget: whether it takes one.
    """

    make: Callable[..., MemoryPolicy]
    takes_budget: bool


def read_policy(text: str, *, option: str = "--policy") -> PolicyChoice:
    """Read a policy's name and fields.

    Args:
        text: ``NAME`` or ``NAME:FIELD=VALUE,...``; values as in JSON, or bare strings.
        option: where the text was given, for the message.

    Raises:
        BadParameter: there is no such policy or field, or the policy refuses a value.
        PluginError: the policy is that of an installed package, which cannot be loaded.
    """
    from hermes_stream.policies import POLICIES

    name, _, rest = text.partition(":")
    if name not in POLICIES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(POLICIES)}", param_hint=option)
    made: Any = POLICIES[name]
    known = [field.name for field in fields(made()) if field.name != "budget_tokens"]
    chosen = read_fields(rest, known, given=text, option=option)

    def make(**budget: int) -> MemoryPolicy:
        if isinstance(made, type):
            return made(**budget, **chosen)
        return replace(made(**budget), **chosen)  # a preset takes its budget alone

    try:
        takes_budget = make().with_default_budget(1).budget_tokens is not None
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(f"{text!r}: {error}", param_hint=option) from error
    return PolicyChoice(make=make, takes_budget=takes_budget)
