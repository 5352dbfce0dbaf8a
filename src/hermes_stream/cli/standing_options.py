"""Standing questions of a command line: what is typed, or what a recipe asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hermes_stream.service.watch_settings import WatchSettings

DESCRIBE = "what is on screen now?"
"""What ``--describe`` asks."""

AlertOption = Annotated[
    list[str] | None,
    typer.Option(
        "--alert", metavar="QUESTION", help="Tell when the answer becomes yes, and when it is no again."
    ),
]
StateOption = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="QUESTION:A|B", help="Tell when the answer becomes another option."),
]
CountOption = Annotated[
    list[str] | None, typer.Option("--count", metavar="QUESTION", help="Tell when the number rises.")
]
DescribeOption = Annotated[bool, typer.Option("--describe", help="Tell what is new, in words.")]
NewestSecondsOption = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0.1,
        help="Answer --alert and --state from so many newest seconds alone, for what is asked about now, "
        "such as 8; default: from the whole memory.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", help="Settings of a use; 'hermes recipes' lists them."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingOptions:
    """What is asked again and again by itself, and told when its answer changes."""

    alert: AlertOption = None
    state: StateOption = None
    count: CountOption = None
    describe: DescribeOption = False
    newest_seconds: NewestSecondsOption = None


def typed_watches(options: StandingOptions) -> tuple[WatchSettings, ...]:
    """Return the watches that were typed.

    Raises:
        BadParameter: a state has no options, or the newest seconds hold for no question.
        ValueError: a question is not accepted.
    """
    from hermes_stream.service.watch_settings import read_watch

    alerts = [{"question": one} for one in options.alert or ()]
    states = [_state(one) for one in options.state or ()]
    counts = [{"question": one, "kind": "count"} for one in options.count or ()]
    described = [{"question": DESCRIBE, "kind": "describe"}] if options.describe else []
    now: list[dict[str, Any]] = [*alerts, *states]
    if options.newest_seconds is not None:
        if not now:
            raise typer.BadParameter(
                f"{options.newest_seconds:g} s hold for no question: give --alert or --state, or leave it "
                "out; counts and descriptions read the whole memory, and a recipe's watches say it "
                "themselves",
                param_hint="--newest-seconds",
            )
        now = [{**one, "newest_seconds": options.newest_seconds} for one in now]
    typed = [*now, *counts, *described]
    names: set[str] = set()
    for one in typed:  # a question may be asked in two ways
        name = one["question"]
        one["name"] = f"{name} ({one.get('kind', 'alert')})"[:100] if name in names else None
        names.add(name)
    return tuple(map(read_watch, typed))


def _state(text: str) -> dict[str, Any]:
    question, _, answers = text.rpartition(":")
    options = [one.strip() for one in answers.split("|")]
    if not question.strip() or len(options) < 2 or not all(options):
        raise typer.BadParameter(
            f'{text!r} has no options; give such as "is the door open or closed? : open|closed"',
            param_hint="--state",
        )
    return {"question": question.strip(), "kind": "state", "options": options}
