"""What commands that speak with a running service share: where it is, and how a moment is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.output import clock

if TYPE_CHECKING:
    from hermes_stream.client import Client

UrlOption = Annotated[
    str | None,
    typer.Option(
        envvar="HERMES_URL",
        metavar="URL",
        help="Address of the service; default: http://127.0.0.1:8000.",
    ),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        envvar="HERMES_KEY_FILE",
        metavar="FILE",
        help="File that holds the key, where the service asks for one; HERMES_KEY holds the key itself.",
    ),
]
FolderOption = Annotated[
    Path, typer.Option("--data", envvar="HERMES_DATA_DIR", metavar="DIR", help="Folder of the service.")
]
StoreOption = Annotated[
    str | None,
    typer.Option(envvar="HERMES_STORE", metavar="URL", help="The service's Postgres database, if any."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """Which service is spoken with, and as whom.

    A key is no option of its own: everyone on a machine can read the words of a command line.
    """

    url: UrlOption = None
    key_file: KeyFileOption = None


def connect(options: ServiceOptions) -> Client:
    """Return a client of the service.

    Raises:
        MissingPackageError: the extra is not installed.
        ValueError: the address is none.
        OSError: the file cannot be read.
    """
    try:
        from hermes_stream.client import Client
    except ModuleNotFoundError as error:
        raise missing_server(error) from error
    return Client(*connection(options))


def connection(options: ServiceOptions) -> tuple[str | None, str | None]:
    """Return address and key; where one is None the environment says it, or there is none.

    Raises:
        OSError: the file of the key cannot be read.
    """
    key = None if options.key_file is None else options.key_file.read_text(encoding="utf-8").strip()
    return options.url, key


def missing_server(error: ModuleNotFoundError) -> Exception:
    """Return what to say where a package of the extra ``server`` is missing; a bug is returned as it is."""
    from hermes_stream.errors import MissingPackageError

    if (error.name or "hermes_stream").startswith("hermes_stream"):
        return error
    return MissingPackageError(
        f"this command needs the package {error.name!r}; install it with: pip install 'hermes-stream[server]'"
    )


def wall_clock(seconds: float) -> str:
    """Show a wall-clock time in this machine's time zone."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def stream_clock(seconds: float | None) -> str:
    """Show a time of a stream; nothing where there is none."""
    return "" if seconds is None else clock(round(seconds))
