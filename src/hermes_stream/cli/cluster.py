"""``hermes cluster``: replicas that share one record: who there is, who has what, and who is to have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import complain, print_json, say
from hermes_stream.cli.serving import StoreOption, missing_server, wall_clock

if TYPE_CHECKING:
    from hermes_stream.service.ownership.directory import Directory

cluster = typer.Typer(
    help="Replicas that share one record: who there is, and who has what.",
    no_args_is_help=True,
    add_completion=False,
)
ReplicaArgument = Annotated[str, typer.Argument(metavar="REPLICA", help="Name, as 'status' shows it.")]
StreamArgument = Annotated[str, typer.Argument(metavar="STREAM", help="Name of an open stream.")]


@contextmanager
def _directory(store: str | None) -> Iterator[Directory]:
    try:
        from hermes_stream.service.ownership.directory import Directory
    except ModuleNotFoundError as error:
        raise missing_server(error) from error
    directory = Directory(store)
    try:
        yield directory
    finally:
        directory.close()


@cluster.command("status")
def status(*, store: StoreOption = None, json: JsonOption = False) -> None:
    """Show replicas, what each carries, and streams that nobody has at the moment."""
    with _directory(store) as directory:
        rows, streams = directory.replicas.all(), directory.replicas.streams_of()
        unowned = directory.replicas.unowned()
    if json:
        shown = [{**asdict(row), "streams": list(streams.get(row.name, ()))} for row in rows]
        print_json({"replicas": shown, "unowned": list(unowned)})
        return
    for row in rows:
        state = row.state if row.is_alive else f"gone, last seen {wall_clock(row.seen_wall_seconds)}"
        held = ", ".join(streams.get(row.name, ())) or "no stream"
        say(f"{row.name}  {state}  {held}; room for {row.more_streams} more; {row.model}, {row.address}")
    if not rows:
        say("no replica was there yet; 'hermes serve --cluster' and 'hermes cluster deploy' begin some")
    if unowned:
        complain(f"nobody has {', '.join(unowned)} at the moment", kind="warning")


@cluster.command("move")
def move(stream: StreamArgument, replica: ReplicaArgument, *, store: StoreOption = None) -> None:
    """Let a stream go to a replica: its owner saves it and gives it back, and that one takes it."""
    with _directory(store) as directory:
        directory.replicas.ask_to_move(stream, replica)
    say(f"stream {stream!r} goes to {replica}; 'hermes cluster status' shows when it is there")


@cluster.command("drain")
def drain(
    replica: ReplicaArgument,
    *,
    back: Annotated[bool, typer.Option("--back", help="Let it take streams again.")] = False,
    store: StoreOption = None,
) -> None:
    """Let a replica save all its streams and give them to others, and take none."""
    with _directory(store) as directory:
        directory.replicas.set_state(replica, "live" if back else "draining")
    say(f"replica {replica} {'takes streams again' if back else 'gives its streams to others'}")


@cluster.command("deploy")
def deploy(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Settings, as 'hermes serve --config' takes.")],
    *,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of the Ray cluster: HOST:6379, ray://HOST:10001. [default: ray_address of FILE, else "
            "RAY_ADDRESS, else one of this machine]",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run the settings on a Ray cluster; where they run already, replica by replica, none loses a stream."""
    from hermes_stream.cli.serve import Settings
    from hermes_stream.cluster.running import deploy as run

    plan = Settings(file, {"cluster": True}, []).plan()
    url = run(plan, address=address, on_trouble=lambda text: complain(text, kind="warning"))
    if json:
        print_json({"url": url, "model": plan.start.model, "replicas": plan.cluster.replicas})
        return
    say(f"listening at {url} on each machine with a gateway; 'hermes cluster status' shows the replicas")
