"""``hermes events``: what happened, of a running service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import print_json, say
from hermes_stream.cli.serving import ServiceOptions, connect, stream_clock, wall_clock

if TYPE_CHECKING:
    from hermes_stream.client import EventValue

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones, until Ctrl-C.")]
StreamOption = Annotated[str | None, typer.Option(metavar="NAME", help="Of one stream alone.")]
KindOption = Annotated[
    list[str] | None, typer.Option(metavar="KIND", help="Of this kind alone; may be given several times.")
]
AfterOption = Annotated[int | None, typer.Option(metavar="ID", min=0, help="Behind this event.")]
LimitOption = Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="The newest so many.")]


@expand_options
def events(
    *,
    follow: FollowOption = False,
    stream: StreamOption = None,
    kind: KindOption = None,
    after: AfterOption = None,
    limit: LimitOption = 100,
    service: ServiceOptions,
    json: JsonOption = False,
) -> None:
    """Show what happened to the streams of a running service.

    Under --json each event is a line of its own, a JSON document.
    """
    with connect(service) as client:
        wanted = {"stream": stream, "kind": kind or None}
        if after is None:
            past = tuple(reversed(client.events(**wanted, limit=limit, newest_first=True)))
        else:
            past = client.events(**wanted, after=after, limit=limit)
        _show(past, as_json=json)
        if follow:
            # behind the newest of all, so that what comes in the meantime is not missed
            newest = past[-1].id if past else (after or 0)
            _show(client.follow(after=newest, stream=stream, kind=kind or None), as_json=json)


def _show(shown: Iterable[EventValue], *, as_json: bool) -> None:
    for event in shown:
        if as_json:
            print_json(event.document, schema="event")
        else:
            say(_line(event))


def _line(event: EventValue) -> str:
    where = f"{event.stream or 'service'} {stream_clock(event.pts_seconds)}".rstrip()
    words = ", ".join(f"{name} {value}" for name, value in event.payload.items() if value is not None)
    at = wall_clock(event.wall_seconds)
    return f"{event.id:>6}  {at}  {where:20}  {event.kind:16}  {words}".rstrip()
