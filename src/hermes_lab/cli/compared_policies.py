"""From words on the command line to the policies that an evaluation compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import typer

from hermes_stream.cli.opening import read_policy
from hermes_stream.fields import split_at_commas

if TYPE_CHECKING:
    from hermes_lab.evaluation import EvaluatedPolicy
    from hermes_stream.policies import MemoryPolicy

_OPTION = "--policies"


def split_policies(words: Sequence[str]) -> list[str]:
    """Split what was given into policies.

    A semicolon always separates policies. So does a comma outside brackets, unless a field with its value
    follows: ``hermes,random`` are two, ``hermes:summarize=false,reindex=eager,window`` are two as well.

    Args:
        words: as given, any number of times.

    Raises:
        BadParameter: a policy is empty or named twice, or there is none.
    """
    found: list[str] = []
    for part in (part for given in words for part in given.split(";")):
        own: list[str] = []
        for piece in split_at_commas(part):
            if own and "=" in piece and ":" not in piece.partition("=")[0]:
                own[-1] += f",{piece}"
            else:
                own.append(piece)
        found += own
    if not found or not all(found):
        raise typer.BadParameter(
            f"{'; '.join(words)!r} names no policy, or an empty one; give some, such as hermes,window",
            param_hint=_OPTION,
        )
    twice = [name for k, name in enumerate(found) if name in found[:k]]
    if twice:
        raise typer.BadParameter(f"{twice[0]!r} is there twice; name each policy once", param_hint=_OPTION)
    return found


def split_budgets(words: str | None) -> list[int]:
    """Read budgets in tokens, separated by commas; none where nothing was given.

    Raises:
        BadParameter: one is no whole number above 0, or is there twice.
    """
    budgets = []
    for piece in words.split(",") if words is not None else ():
        if not piece.strip().isascii() or not piece.strip().isdigit() or int(piece) < 1:
            raise typer.BadParameter(
                f"{piece!r} is no whole number above 0; give tokens, such as 138,276", param_hint="--budgets"
            )
        budgets.append(int(piece))
    if len(set(budgets)) < len(budgets):
        raise typer.BadParameter(f"{words!r} has a budget twice; give each once", param_hint="--budgets")
    return budgets


def reference_among(names: Sequence[str], wanted: str | None) -> str:
    """Return the policy that others are compared with: the one wanted, hermes, or the first.

    Raises:
        BadParameter: the one wanted does not take part.
    """
    if wanted is not None and wanted not in names:
        raise typer.BadParameter(
            f"{wanted!r} does not take part; give one of {', '.join(names)}", param_hint="--reference"
        )
    return wanted or ("hermes" if "hermes" in names else names[0])


def compared_policies(
    names: Sequence[str], budgets: Sequence[int], *, num_seeds: int, first_seed: int
) -> list[EvaluatedPolicy]:
    """Return every policy with every budget; those that draw with every seed, unless a seed was named.

    A policy without a bound is there once.

    Args:
        names: policies as words.
        budgets: in tokens, at least one.
        num_seeds: how often to draw, at least 1.
        first_seed: the first of the seeds, the others follow it.

    Raises:
        BadParameter: there is no such policy or field, or the policy refuses a value.
    """
    seeds = range(first_seed, first_seed + num_seeds)
    return [
        one
        for name in names
        for policy in _with_budgets(name, budgets)
        for one in with_seeds(name, policy, seeds)
    ]


def with_seeds(name: str, policy: MemoryPolicy, seeds: Sequence[int]) -> list[EvaluatedPolicy]:
    """Return a policy with every seed; once if it does not draw at random, or its words name a seed.

    Args:
        name: its words.
        policy: the policy, its budget included.
        seeds: at least one.
    """
    from hermes_lab.evaluation import EvaluatedPolicy

    drawing: Any = policy
    named = {piece.partition("=")[0].strip() for piece in split_at_commas(name.partition(":")[2])}
    if "seed" in named or "seed" not in {field.name for field in fields(drawing)}:
        return [EvaluatedPolicy(name=name, policy=policy)]
    return [EvaluatedPolicy(name=name, policy=replace(drawing, seed=seed), seed=seed) for seed in seeds]


def _with_budgets(name: str, budgets: Sequence[int]) -> list[MemoryPolicy]:
    choice = read_policy(name, option=_OPTION)
    try:
        if not choice.takes_budget:
            return [choice.make()]
        return [choice.make(budget_tokens=budget) for budget in budgets]
    except ValueError as error:
        raise typer.BadParameter(f"{name!r}: {error}", param_hint=_OPTION) from error
