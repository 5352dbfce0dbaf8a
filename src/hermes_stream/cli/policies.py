"""``hermes policies``: the methods that a memory may follow, and what stands beside each."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import complain, doing, print_json, say, say_lines
from hermes_stream.cli.stored_lists import POLICIES_FILE, describe_fields, describe_policy, read_list
from hermes_stream.errors import PluginError
from hermes_stream.plugins import Registry

Entry = Mapping[str, Any]


def policies(
    name: Annotated[
        str | None,
        typer.Argument(help="A policy or filter of which everything is told.", show_default=False),
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """List what a memory may keep: each policy's paper, budget, what it reads, what a question costs.

    Filters, which drop tokens before they enter any memory, stand at the end. With a NAME, the fields of that
    policy follow, which --policy takes as in hermes:summarize=false.
    """
    stored = read_list(POLICIES_FILE)
    listed, filters = _described(stored["policies"]), stored["filters"]
    if name is not None:
        listed = [entry | _details(name, stored["details"]) for entry in listed if entry["name"] == name]
        filters = [entry | _details(name, stored["details"]) for entry in filters if entry["name"] == name]
        if not listed and not filters:
            known = ", ".join(
                entry["name"] for entry in (*_described(stored["policies"]), *stored["filters"])
            )
            raise typer.BadParameter(f"{name!r} is none of {known}", param_hint="NAME")
    if json:
        print_json({"policies": listed, "filters": filters})
        return
    for entry in listed:
        say(entry["name"])
        say_lines(_policy_lines(entry))
        _say_fields(entry)
    for entry in filters:
        say(f"filter {entry['name']}")
        say_lines({"drops": entry["summary"], "paper": entry["paper"] or "none"})
        _say_fields(entry)


def _described(stored: list[Entry]) -> list[dict[str, Any]]:
    """Return the stored entries, and those of installed packages' policies, which are imported for it."""
    known: Registry[Any] = Registry("hermes_stream.policies", {entry["name"]: entry for entry in stored})
    described = []
    for name in known:
        try:
            entry = known[name]
            described.append(dict(entry) if name in known.own else {"name": name} | describe_policy(entry))
        except PluginError as error:
            complain(str(error), kind="warning")
    return described


def _details(name: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a policy or filter is and each of its fields; a policy of an installed package is asked."""
    if name in stored:
        return dict(stored[name])
    with doing("starting"):
        from hermes_stream.policies import POLICIES

    return describe_fields(POLICIES[name]())


def _policy_lines(entry: Entry) -> dict[str, str]:
    lines = {
        "keeps": entry["summary"],
        "paper": entry["paper"] or "none",
        "budget": entry["budget_rule"],
        "reads": ", ".join(entry["reads"]) or "nothing",
    }
    if entry["preset"]:
        lines["with"] = ", ".join(f"{key}={value}" for key, value in entry["preset"].items())
    return lines | {"at question": entry["at_question"]}


def _say_fields(entry: Entry) -> None:
    """Say the whole of what is told of one policy alone; an empty line ends it."""
    if "fields" in entry:
        for paragraph in entry["about"].split("\n\n"):
            say()
            say_lines({"": " ".join(paragraph.split())}, indent=0)
        say("\nfields, with their defaults")
        for field in entry["fields"]:
            say(f"  {field['name']}={json_text.dumps(field['default'])}")
            if field["meaning"]:
                say_lines({"": field["meaning"]}, indent=4)
    say()
