"""``hermes snapshots``: memories on disk of a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import print_json, say, size
from hermes_stream.cli.serving import ServiceOptions, connect, stream_clock, wall_clock

if TYPE_CHECKING:
    from hermes_stream.client import SnapshotValue, StreamValue

snapshots = typer.Typer(
    help="List, save and restore memories of a running service, or open a second stream from one.",
    no_args_is_help=True,
    add_completion=False,
)
StreamArgument = Annotated[str, typer.Argument(metavar="STREAM", help="Name of the stream.")]
MaybeStreamArgument = Annotated[
    str | None, typer.Argument(metavar="[STREAM]", help="Name of a stream; default: all.")
]
NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the snapshot.")]
NewNameArgument = Annotated[str, typer.Argument(metavar="NEW", help="Name of the second stream.")]
NumberOption = Annotated[
    int | None, typer.Option("--snapshot", metavar="N", help="Number of a snapshot; default: as it is now.")
]


@snapshots.command(name="list")
@expand_options
def list_snapshots(
    *, stream: MaybeStreamArgument = None, service: ServiceOptions, json: JsonOption = False
) -> None:
    """List snapshots, oldest first."""
    with connect(service) as client:
        found = client.snapshots(stream)
    if json:
        print_json({"snapshots": [one.document for one in found]})
        return
    for one in found:
        say(_line(one))
    if not found:
        say("no snapshots yet; 'hermes snapshots save STREAM' makes one", err=True)


@snapshots.command()
@expand_options
def save(*, stream: StreamArgument, service: ServiceOptions, json: JsonOption = False) -> None:
    """Save a stream's memory now."""
    with connect(service) as client:
        saved = client.save_snapshot(stream)
    if json:
        print_json(saved.document)
    else:
        say(_line(saved))


@snapshots.command()
@expand_options
def restore(
    *, stream: StreamArgument, number: NumberArgument, service: ServiceOptions, json: JsonOption = False
) -> None:
    """Give a stream the memory that it had when a snapshot was saved."""
    with connect(service) as client:
        _show(client.restore(stream, number), as_json=json)


@snapshots.command()
@expand_options
def fork(
    *,
    stream: StreamArgument,
    new: NewNameArgument,
    snapshot: NumberOption = None,
    service: ServiceOptions,
    json: JsonOption = False,
) -> None:
    """Open a second stream that begins with a stream's memory; its frames are pushed."""
    with connect(service) as client:
        _show(client.fork(stream, new, snapshot), as_json=json)


def _show(stream: StreamValue, *, as_json: bool) -> None:
    if as_json:
        print_json(stream.document)
    else:
        until = stream.folded_until_seconds
        remembered = "nothing yet" if until is None else f"up to {stream_clock(until)}"
        say(f"{stream.name}: {stream.state}, remembers {remembered}")


def _line(one: SnapshotValue) -> str:
    at = stream_clock(one.pts_seconds) or "empty"
    return (
        f"{one.id:>6}  {wall_clock(one.created_wall_seconds)}  {one.stream:20}  up to {at:>8}  "
        f"{one.num_frames:>8} frames  {size(one.num_bytes)}"
    )
