"""Policies by name: ``hermes``, or ``hermes:summarize=false,protect_recent_patches=2``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any

from hermes_stream.fields import read_fields
from hermes_stream.policies import POLICIES
from hermes_stream.policies.base import MemoryPolicy

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a word"),
    "tuple": ((tuple,), "a list in round brackets, such as (1, 2)"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPolicy:
    """A policy that was asked for by name, its budget still open.

    Attributes:
        make: makes the policy from ``budget_tokens``, or from nothing where it takes no budget.
        takes_budget: whether it takes one.
    """

    make: Callable[..., MemoryPolicy]
    takes_budget: bool

    def with_budget(self, budget_tokens: int | None, default_budget_tokens: int) -> MemoryPolicy:
        """Return the policy with a budget, or with the default where None is asked for.

        Raises:
            ValueError: the policy takes no such budget.
        """
        if not self.takes_budget:
            if budget_tokens is not None:
                raise ValueError("the policy keeps everything; leave budget_tokens out, or choose another")
            return self.make()
        return self.make(budget_tokens=default_budget_tokens if budget_tokens is None else budget_tokens)


def policy_named(text: str) -> NamedPolicy:
    """Read a policy's name and fields.

    Args:
        text: ``NAME`` or ``NAME:FIELD=VALUE,...``; values as in JSON, or bare strings.

    Raises:
        ValueError: there is no such policy or field, or the policy refuses a value.
        PluginError: the policy is that of an installed package, which cannot be loaded.
    """
    name, _, rest = text.partition(":")
    if name not in POLICIES:
        raise ValueError(f"{name!r} is none of {', '.join(POLICIES)}")
    made: Any = POLICIES[name]

    def make(**budget: int) -> MemoryPolicy:
        if isinstance(made, type):
            return made(**budget, **chosen)
        return replace(made(**budget), **chosen)  # a preset takes its budget alone

    try:
        own = {field.name: str(field.type) for field in fields(made()) if field.name != "budget_tokens"}
        chosen = read_fields(rest, list(own))
        for field, value in chosen.items():
            _check_kind(field, value, own[field])
        takes_budget = make().with_default_budget(1).budget_tokens is not None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text!r}: {error}") from error
    return NamedPolicy(make=make, takes_budget=takes_budget)


def _check_kind(field: str, value: object, annotation: str) -> None:
    """Check that a field was given what it takes: no words for a number, no number for yes or no.

    Raises:
        ValueError: it was not.
    """
    kind, *others = annotation.split(" | ")
    if kind.partition("[")[0] not in _KINDS or (value is None and "None" in others):
        return
    classes, accepted = _KINDS[kind.partition("[")[0]]
    if not isinstance(value, classes) or (isinstance(value, bool) and kind != "bool"):
        raise ValueError(f"{field} must be {accepted}, got {value!r}")


def choose_policy(
    policy: MemoryPolicy | str | None, budget_tokens: int | None, default_budget_tokens: int
) -> MemoryPolicy:
    """Return the policy of a stream.

    Args:
        policy: a policy, its name with fields behind it, or None for ``hermes``.
        budget_tokens: visual tokens that each layer keeps, for a name or None; None takes the default.
        default_budget_tokens: what the model suggests.

    Raises:
        ValueError: it is none of these, or the policy has or takes no such budget.
    """
    if isinstance(policy, MemoryPolicy):
        if budget_tokens is not None:
            raise ValueError(
                f"a policy has its own budget; leave budget_tokens out, or write {type(policy).__name__}"
                f"(budget_tokens={budget_tokens})"
            )
        return policy
    if budget_tokens is not None and not isinstance(budget_tokens, Integral):
        raise ValueError(f"budget_tokens must be a whole number, or None; got {budget_tokens!r}")
    if policy is not None and not isinstance(policy, str):
        raise ValueError(f"policy must be a MemoryPolicy, a name, or None; got a {type(policy).__name__}")
    return policy_named(policy or "hermes").with_budget(budget_tokens, default_budget_tokens)
