"""``hermes report``: what happened from when to when, on which streams."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hermes_stream.cli.looking_back import (
    FromOption,
    RecordOptions,
    ToOption,
    looking_back,
    moment,
)
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import clock, print_json, say
from hermes_stream.cli.serving import wall_clock
from hermes_stream.digest.folder import as_json, write_whole

StreamsOption = Annotated[
    list[str] | None,
    typer.Option("--stream", metavar="NAME", help="Of this stream alone; may be given several times."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a page (.html, pictures within) or the document (.json)."),
]
_DAY_SECONDS = 86_400.0


@expand_options
def report(
    *,
    context: typer.Context,
    since: FromOption = None,
    until: ToOption = None,
    stream: StreamsOption = None,
    out: OutOption = None,
    record: RecordOptions,
    json: JsonOption = False,
) -> None:
    """Tell what happened: chapters, incidents, questions, events, of each stream; the last day by default."""
    if out is not None and out.suffix.lower() not in (".html", ".json"):
        raise typer.BadParameter(f"{out} must end in .html or .json", param_hint="--out")
    end = moment(until, "--to") or time.time()
    begin = moment(since, "--from")
    begin = end - _DAY_SECONDS if begin is None else begin
    with looking_back(record.typed(context)) as past:
        document, page = past.report(stream or None, begin, end)
        if out is not None:
            write_whole(out, page() if out.suffix.lower() == ".html" else as_json(document))
    if json:
        print_json(document)
    else:
        _print(document)


def _print(document: dict[str, Any]) -> None:
    say(f"{wall_clock(document['from'])} to {wall_clock(document['to'])}")
    for one in document["streams"]:
        say()
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(one["counts"].items()))
        say(f"{one['source']}: {counts or 'nothing'}")
        for incident in one["incidents"]:
            ended = incident["ended_seconds"]
            until = "goes on" if ended is None else f"to {clock(ended)}"
            begin, name = clock(incident["started_seconds"]), incident["watch"]
            say(f"  {begin} {until}  {incident['severity']}  {name}")
            if incident["summary"]:
                say(f"    {incident['summary']}")
        for chapter in one["chapters"]:
            span = f"{clock(chapter['start_seconds'])} to {clock(chapter['end_seconds'])}"
            say(f"  {span}  {chapter['text'] or ''}".rstrip())
        for answer in one["answers"]:
            say(f"  {answer['question']}  {answer['answer']}")
