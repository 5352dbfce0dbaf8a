"""``hermes keys``: who may use a service. It may be running or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import print_json, say
from hermes_stream.cli.serving import FolderOption, StoreOption, missing_server, wall_clock

if TYPE_CHECKING:
    from hermes_stream.service.keys import KeyRecord, Keys

keys = typer.Typer(
    help="Make, list and revoke the keys of those who may use a service.",
    no_args_is_help=True,
    add_completion=False,
)
_FOLDER = Path("hermes-data")

ScopeOption = Annotated[
    list[str],
    typer.Option(
        metavar="SCOPE", help="What its holder may do: read, ask, watch, admin; may be given several times."
    ),
]
LabelArgument = Annotated[str, typer.Argument(help="What the key is for, such as 'page in the hall'.")]
MaxStreamsOption = Annotated[int | None, typer.Option(metavar="N", min=0, help="Streams it may have open.")]
MaxQuestionsOption = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Questions it may ask in a minute.")
]
IdArgument = Annotated[int, typer.Argument(help="Number of the key, as 'hermes keys list' shows it.")]


@keys.command()
def create(
    label: LabelArgument,
    *,
    scope: ScopeOption = ["read", "ask"],  # noqa: B006 - typer makes a new one of it
    max_streams: MaxStreamsOption = None,
    max_questions: MaxQuestionsOption = None,
    folder: FolderOption = _FOLDER,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key. It is shown this once; what is stored is its hash."""
    with _keys(folder, store, makes=True) as held:
        secret, record = held.create(label, scope, max_streams=max_streams, max_questions=max_questions)
    if json:
        print_json({"key": secret, **_document(record)})
        return
    say(secret)
    place = "the database" if store else folder
    say(f"key {record.id}, {record.label!r}, may {', '.join(sorted(record.scopes))}; in {place}", err=True)
    say("it is not shown again; send it as 'Authorization: Bearer KEY', or keep it in HERMES_KEY", err=True)


@keys.command(name="list")
def list_keys(*, folder: FolderOption = _FOLDER, store: StoreOption = None, json: JsonOption = False) -> None:
    """List keys: what they are for, and what their holders may do."""
    with _keys(folder, store) as held:
        records = held.list()
    if json:
        print_json({"keys": [_document(record) for record in records]})
        return
    for record in records:
        made = wall_clock(record.created_wall_seconds)
        state = "good" if record.revoked_wall_seconds is None else "revoked"
        say(f"{record.id:>4}  {state:7}  {made}  {','.join(sorted(record.scopes)):20}  {record.label}")
    if not records:
        say("no keys yet; 'hermes keys create LABEL' makes one", err=True)


@keys.command()
def revoke(
    number: IdArgument, *, folder: FolderOption = _FOLDER, store: StoreOption = None, json: JsonOption = False
) -> None:
    """Make a key worthless, from its next use on."""
    with _keys(folder, store) as held:
        held.revoke(number)
    if json:
        print_json({"revoked": number})
    else:
        say(f"key {number} is revoked")


@contextmanager
def _keys(folder: Path, store: str | None, *, makes: bool = False) -> Iterator[Keys]:
    try:
        from hermes_stream.service.keys import Keys
    except ModuleNotFoundError as error:
        raise missing_server(error) from error
    with Keys.open(folder, store, makes=makes) as held:
        yield held


def _document(record: KeyRecord) -> dict[str, object]:
    return asdict(record) | {"scopes": sorted(record.scopes)}
