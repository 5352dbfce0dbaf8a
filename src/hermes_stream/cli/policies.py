"""``hermes policies``: the methods that a memory may follow, and what stands beside each."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import complain, doing, print_json
from hermes_stream.errors import PluginError

if TYPE_CHECKING:
    from hermes_stream.policies import MemoryPolicy


def policies(*, json: JsonOption = False) -> None:
    """List what a memory may keep: each policy's paper, budget, what it reads, what a question costs.

    Filters, which drop tokens before they enter any memory, stand at the end.
    """
    with doing("starting"):
        from hermes_stream.filters import FILTERS
        from hermes_stream.policies import POLICIES

    made = {}
    for name in POLICIES:
        try:
            made[name] = POLICIES[name]()
        except PluginError as error:
            complain(str(error), kind="warning")
    if json:
        listed = [
            {
                "name": name,
                **asdict(policy.facts),
                "preset": _preset_of(policy),
                "defaults": asdict(policy),  # type: ignore[call-overload]
            }
            for name, policy in made.items()
        ]
        filters = [{"name": name, **asdict(make().facts)} for name, make in FILTERS.items()]
        print_json({"policies": listed, "filters": filters})
        return
    for name, policy in made.items():
        facts = policy.facts
        typer.echo(f"{name}\n  keeps        {facts.summary}")
        typer.echo(f"  paper        {facts.paper or 'none'}\n  budget       {facts.budget_rule}")
        typer.echo(f"  reads        {', '.join(facts.reads) or 'nothing'}")
        if preset := _preset_of(policy):
            typer.echo(f"  with         {', '.join(f'{key}={value}' for key, value in preset.items())}")
        typer.echo(f"  at question  {facts.at_question}\n")
    for name, make in FILTERS.items():
        facts_of = make().facts
        typer.echo(
            f"filter {name}\n  drops        {facts_of.summary}\n  paper        {facts_of.paper or 'none'}\n"
        )


def _preset_of(policy: MemoryPolicy) -> dict[str, Any]:
    """Return the fields in which a preset differs from its policy's defaults."""
    plain, own = asdict(type(policy)()), asdict(policy)  # type: ignore[call-overload]
    return {key: value for key, value in own.items() if value != plain[key]}
