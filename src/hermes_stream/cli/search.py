"""``hermes search``: what was recorded, by words and time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hermes_stream.cli.looking_back import FromOption, RecordOptions, ToOption, looking_back, moment
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import print_json, say
from hermes_stream.cli.serving import stream_clock, wall_clock

WordsArgument = Annotated[
    str,
    typer.Argument(
        metavar="WORDS",
        help="A word finds what begins with it; '\"words in quotes\"' what stands there; -word leaves out.",
    ),
]
StreamOption = Annotated[str | None, typer.Option(metavar="NAME", help="Of one stream alone.")]
KindOption = Annotated[
    list[str] | None, typer.Option(metavar="KIND", help="Of this kind alone; may be given several times.")
]
LimitOption = Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="The newest so many.")]
BeforeOption = Annotated[int | None, typer.Option(metavar="ID", min=1, help="Before this event.")]


@expand_options
def search(  # noqa: PLR0913 - one parameter per choice
    *,
    context: typer.Context,
    words: WordsArgument = "",
    stream: StreamOption = None,
    kind: KindOption = None,
    since: FromOption = None,
    until: ToOption = None,
    limit: LimitOption = 50,
    before: BeforeOption = None,
    record: RecordOptions,
    json: JsonOption = False,
) -> None:
    """Find events, answers and descriptions of a service's record, the newest first.

    Without words all that has a text is shown.
    """
    wanted = {
        "stream": stream,
        "kind": kind or None,
        "since": moment(since, "--from"),
        "until": moment(until, "--to"),
        "limit": limit,
        "before": before,
    }
    with looking_back(record.typed(context)) as past:
        document = past.search(words, wanted)
    if json:
        print_json(document)
        return
    for found in document["results"]:
        say(_line(found))
    if document["next"] is not None:
        say(f"there is more: --before {document['next']}", err=True)
    if not document["results"]:
        say("nothing was found", err=True)


def _line(found: dict[str, Any]) -> str:
    where = f"{found['stream'] or 'service'} {stream_clock(found['stream_seconds'])}".rstrip()
    text = " ".join(found["snippet"]["text"].split())
    at = wall_clock(found["wall_seconds"])
    return f"{found['event']:>6}  {at}  {where:20}  {found['kind']:14}  {text}".rstrip()
