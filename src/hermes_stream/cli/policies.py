"""``hermes policies``: the methods that a memory may follow, and what stands beside each."""

from __future__ import annotations

from dataclasses import asdict

import typer

from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import doing, print_json


def policies(*, json: JsonOption = False) -> None:
    """List what a memory may keep: each policy's paper, budget, what it reads, what a question costs.

    Filters, which drop tokens before they enter any memory, stand at the end.
    """
    with doing("starting"):
        from hermes_stream.filters import FILTERS
        from hermes_stream.policies import POLICIES

    made = {name: make() for name, make in POLICIES.items()}
    if json:
        listed = [
            {"name": name, **asdict(policy.facts), "defaults": asdict(policy)}  # type: ignore[call-overload]
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
        typer.echo(f"  at question  {facts.at_question}\n")
    for name, make in FILTERS.items():
        facts_of = make().facts
        typer.echo(
            f"filter {name}\n  drops        {facts_of.summary}\n  paper        {facts_of.paper or 'none'}\n"
        )
