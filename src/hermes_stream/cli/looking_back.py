"""What commands that look back share: the record of a running service, or of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from hermes_stream.cli.option_groups import typed_options
from hermes_stream.cli.serving import (
    KeyFileOption,
    ServiceOptions,
    StoreOption,
    UrlOption,
    connect,
    missing_server,
)
from hermes_stream.cli.wall_time import read_wall_time

if TYPE_CHECKING:
    from hermes_stream.client import Client
    from hermes_stream.service.record import Record

RecordFolderOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Read the folder of a service itself, running or not."),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Not before: 2026-11-26 08:00, 08:00 (today), 30m, 2h or 1d (ago), seconds since 1970.",
    ),
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before this time.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """Which record is read: a running service's, or that of a folder."""

    url: UrlOption = None
    key_file: KeyFileOption = None
    folder: RecordFolderOption = None
    store: StoreOption = None

    def typed(self, context: typer.Context) -> RecordOptions:
        """Return these without what the environment says of the other kind of record than was typed."""
        typed = typed_options(context)
        if "url" in typed:
            return self if "store" in typed else replace(self, store=None)
        return replace(self, url=None) if typed & {"folder", "store"} else self


class LooksBack(Protocol):
    """A record that is asked, wherever it is; documents are those of the API."""

    def search(self, words: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was found."""

    def report(
        self, streams: Sequence[str] | None, since: float, until: float, **chapters: Any
    ) -> tuple[dict[str, Any], Callable[[], str]]:
        """Return what happened, and what makes a page of it; chapters: see ``Record.report``."""

    def clip(self, stream: str, from_seconds: float, until_seconds: float) -> bytes:
        """Return an MP4 file."""

    def picture(self, address: str) -> bytes | None:
        """Return a picture by its address in a document; None where it is gone."""


@contextmanager
def looking_back(options: RecordOptions) -> Iterator[LooksBack]:
    """Lend the record that is asked for.

    Raises:
        BadParameter: both a service and a folder are named.
        StoreError: there is no record.
    """
    if options.folder is None and options.store is None:
        with connect(ServiceOptions(url=options.url, key_file=options.key_file)) as client:
            yield OfService(client)
        return
    if options.url is not None:
        raise typer.BadParameter("give a running service (--url) or a folder (--data), not both")
    try:
        from hermes_stream.service.record import Record
    except ModuleNotFoundError as error:
        raise missing_server(error) from error
    with Record.open(options.folder or Path("hermes-data"), options.store) as record:
        yield OfFolder(record)


def moment(text: str | None, option: str) -> float | None:
    """Return the seconds since 1970 that an option names.

    Raises:
        BadParameter: it names none.
    """
    try:
        return None if text is None else read_wall_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


class OfService:
    """The record of a running service.

    Args:
        client: speaks with it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def search(self, words: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was found."""
        return self._client.search(words, **wanted)

    def report(
        self, streams: Sequence[str] | None, since: float, until: float, **chapters: Any
    ) -> tuple[dict[str, Any], Callable[[], str]]:
        """Return what happened, and what makes a page of it; chapters: see ``Record.report``."""
        wanted = {"since": since, "until": until, **chapters}
        return self._client.report(streams, **wanted), lambda: self._client.report_page(streams, **wanted)

    def clip(self, stream: str, from_seconds: float, until_seconds: float) -> bytes:
        """Return an MP4 file."""
        return self._client.clip(stream, from_seconds=from_seconds, until_seconds=until_seconds)

    def picture(self, address: str) -> bytes | None:
        """Return a picture by its address in a document; None where it is gone."""
        from hermes_stream.errors import HermesError

        try:
            return self._client.picture(address)
        except HermesError:
            return None


class OfFolder:
    """The record of a folder.

    Args:
        record: reads it.
    """

    def __init__(self, record: Record) -> None:
        self._record = record

    def search(self, words: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was found."""
        given = dict(wanted)
        kinds = given.pop("kind", None)
        page = self._record.search(words, kinds=kinds, **given)
        results = [
            {
                "event": one.event.id,
                "stream": one.event.stream,
                "kind": one.event.kind,
                "stream_seconds": one.event.pts_seconds,
                "wall_seconds": one.event.wall_seconds,
                "snippet": {"text": one.snippet.text, "marks": [list(mark) for mark in one.snippet.marks]},
                "picture_url": one.event.picture,
            }
            for one in page.results
        ]
        return {"results": results, "next": page.next_before}

    def report(
        self, streams: Sequence[str] | None, since: float, until: float, **chapters: Any
    ) -> tuple[dict[str, Any], Callable[[], str]]:
        """Return what happened, and what makes a page of it; chapters: see ``Record.report``."""
        from hermes_stream.digest.document import report_document
        from hermes_stream.digest.page import page_of, wall_of

        digests = self._record.report(streams, since=since, until=until, **chapters)
        document = report_document(
            digests, lambda picture: picture.path, from_wall_seconds=since, to_wall_seconds=until
        )
        title = f"{wall_of(since)} to {wall_of(until)}"
        return document, lambda: page_of(digests, title=title, read_picture=self._record.picture)

    def clip(self, stream: str, from_seconds: float, until_seconds: float) -> bytes:
        """Return an MP4 file."""
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="hermes-clip-") as folder:
            target = Path(folder) / "clip.mp4"
            self._record.clip(stream, target, from_seconds=from_seconds, until_seconds=until_seconds)
            return target.read_bytes()

    def picture(self, address: str) -> bytes | None:
        """Return a picture by its address in a document; None where it is gone."""
        from hermes_stream.digest.values import Picture

        return self._record.picture(Picture(stream_seconds=0.0, path=address))
