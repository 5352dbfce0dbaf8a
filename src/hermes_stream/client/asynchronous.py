"""The client for programs with an event loop: ``Client``, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from httpx_sse import aconnect_sse

from hermes_stream.client import calls
from hermes_stream.client.ask_options import AskOptions
from hermes_stream.client.connection import connection_of
from hermes_stream.client.failures import check, file_of, result_of, unreachable
from hermes_stream.client.sse import Following, Reading
from hermes_stream.client.values import (
    AnswerValue,
    EventValue,
    IncidentValue,
    ReceiptValue,
    SnapshotValue,
    StreamValue,
    TrialValue,
    WatchValue,
)
from hermes_stream.errors import ClosedError

T = TypeVar("T")


class AsyncClient:
    """Speaks with a running service from an event loop; ``Client`` says what each call does and raises.

    Args:
        url: address of the server; ``HERMES_URL`` or this machine's port 8000 by default.
        key: who asks; ``HERMES_KEY`` by default, none where there is none.
        timeout_seconds: how long a response may be silent; answers come in pieces, each has this long.
        verify: whether certificates are checked, or the file of one that is trusted.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        verify: bool | str = True,
    ) -> None:
        self._address, arguments = connection_of(url, key, timeout_seconds=timeout_seconds, verify=verify)
        self._http = httpx.AsyncClient(**arguments)

    async def __aenter__(self) -> Self:
        """Return the client; its connections are closed where the block ends."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def streams(self, *, closed: bool = False) -> tuple[StreamValue, ...]:
        """Return all open streams; the closed ones too where they are asked for."""
        return await self._do(calls.streams(closed=closed))

    async def stream(self, name: str) -> StreamValue:
        """Return one stream as it is now."""
        return await self._do(calls.stream(name))

    async def open_stream(self, name: str, source: str | None = None, **options: Any) -> StreamValue:
        """Open a stream."""
        return await self._do(calls.open_stream(name, source, options))

    async def change_stream(self, stream: str, **changes: Any) -> StreamValue:
        """Give a stream another ``name``, or another ``policy`` with its ``budget_tokens`` from now on."""
        return await self._do(calls.change_stream(stream, changes))

    async def close_stream(self, name: str, *, delete: bool = False) -> None:
        """Close a stream; with ``delete`` all that is kept of it goes, too."""
        await self._do(calls.close_stream(name, delete=delete))

    async def ask(self, stream: str, question: str, **options: Unpack[AskOptions]) -> AnswerValue:
        """Ask about what a stream has shown so far, and wait for the answer."""
        return await self._do(calls.ask(stream, question, options, streamed=False))

    async def ask_in_pieces(
        self, stream: str, question: str, **options: Unpack[AskOptions]
    ) -> AsyncIterator[str | AnswerValue]:
        """Yield pieces of an answer as they are made, and at last the whole answer; see ``ask``.

        Whoever stops reading before the end (``close`` of the generator) ends the answer on the server, too.
        """
        call, reading = calls.ask(stream, question, options, streamed=True), Reading()
        with self._speaking():
            async with aconnect_sse(self._http, **call.arguments()) as source:
                await _check_streamed(source.response)
                async for event in source.aiter_sse():
                    if piece := reading.take(event):
                        yield piece
        yield reading.require()

    async def push(self, stream: str, jpeg: bytes, pts_seconds: float | None = None) -> ReceiptValue:
        """Push a picture to a stream without a source."""
        return await self._do(calls.push(stream, jpeg, pts_seconds))

    async def events(self, **wanted: Any) -> tuple[EventValue, ...]:
        """Return recorded events."""
        return await self._do(calls.events(wanted))

    async def follow(
        self, *, after: int | None = None, stream: str | None = None, kind: list[str] | None = None
    ) -> AsyncIterator[EventValue]:
        """Yield events as they come, for ever: none is missed and none comes twice."""
        following = Following(last_id=after)
        call = calls.events({"stream": stream, "kind": kind})
        while True:
            try:
                arguments = call.arguments() | {"headers": following.headers}
                async with aconnect_sse(self._http, **arguments) as source:
                    await _check_streamed(source.response)
                    async for event in source.aiter_sse():
                        if (value := following.take(event)) is not None:
                            yield value
            except (httpx.TransportError, ClosedError) as error:
                if following.last_id is None:  # it was never there: that is told, not waited for
                    if isinstance(error, ClosedError):
                        raise
                    raise unreachable(self._address, error) from error
            await asyncio.sleep(following.pause_seconds())

    async def search(self, words: str = "", **wanted: Any) -> dict[str, Any]:
        """Find events, answers and descriptions by words and time, the newest first.

        Args:
            words: what they have, see ``hermes search``; empty finds whatever has a text.
            **wanted: stream, kind (list), since and until (seconds since 1970), limit, before (an id).
        """
        return await self._do(calls.search(words, wanted))

    async def report(
        self,
        streams: Sequence[str] | None = None,
        *,
        since: float | None = None,
        until: float | None = None,
        min_chapter_seconds: float | None = None,
        max_chapters: int | None = None,
    ) -> dict[str, Any]:
        """Tell what happened on streams from when to when, as a document ``hermes.report/1``."""
        return await self._do(
            calls.report(
                streams, since, until, min_chapter_seconds=min_chapter_seconds, max_chapters=max_chapters
            )
        )

    async def report_page(
        self,
        streams: Sequence[str] | None = None,
        *,
        since: float | None = None,
        until: float | None = None,
        min_chapter_seconds: float | None = None,
        max_chapters: int | None = None,
    ) -> str:
        """Tell what happened as one HTML page, with its pictures within."""
        call = calls.report(
            streams, since, until, min_chapter_seconds=min_chapter_seconds, max_chapters=max_chapters
        )
        with self._speaking():
            response = await self._http.post(call.path, json={**call.json, "format": "html"})
        check(response)
        return response.text

    async def clip(self, stream: str, *, from_seconds: float, until_seconds: float) -> bytes:
        """Return a clip of a stream, MP4; what is not kept raises ``UnknownPictureError``."""
        return await self._file(calls.clip_path(stream, from_seconds, until_seconds), kind="video/mp4")

    async def snapshots(self, stream: str | None = None) -> tuple[SnapshotValue, ...]:
        """Return the memories on disk, of a stream or of all, oldest first."""
        return await self._do(calls.snapshots(stream))

    async def save_snapshot(self, stream: str) -> SnapshotValue:
        """Save a stream's memory now."""
        return await self._do(calls.save_snapshot(stream))

    async def delete_snapshot(self, stream: str, number: int) -> None:
        """Delete a snapshot."""
        await self._do(calls.delete_snapshot(stream, number))

    async def restore(self, stream: str, number: int) -> StreamValue:
        """Give a stream the memory that it had when a snapshot was saved; its clock goes on."""
        return await self._do(calls.restore(stream, number))

    async def fork(self, stream: str, new_name: str, number: int | None = None) -> StreamValue:
        """Open a second stream with this one's memory, now or as a snapshot has it, for pushed frames."""
        return await self._do(calls.fork(stream, new_name, number))

    async def watches(self, stream: str) -> tuple[WatchValue, ...]:
        """Return the standing questions of a stream, oldest first."""
        return await self._do(calls.watches(stream))

    async def watch(self, stream: str, question: str, **options: Any) -> WatchValue:
        """Have a question asked again and again; the same again is the same watch.

        Args:
            stream: its name.
            question: what is asked.
            **options: name, kind, options (choices), raise_at, clear_at, hold_seconds, severity, ...
        """
        return await self._do(calls.add_watch(stream, question, options))

    async def change_watch(self, stream: str, watch: int | str, **changes: Any) -> WatchValue:
        """Change a watch, named by number or name: its thresholds, ``is_on``, what it asks."""
        return await self._do(calls.change_watch(stream, watch, changes))

    async def delete_watch(self, stream: str, watch: int | str) -> None:
        """Delete a watch; what it told stays."""
        await self._do(calls.delete_watch(stream, watch))

    async def snooze_watch(self, stream: str, watch: int | str, seconds: float) -> WatchValue:
        """Let a watch be silent for so many seconds of its stream; 0 lets it speak again."""
        return await self._do(calls.snooze_watch(stream, watch, seconds))

    async def test_watch(self, stream: str, question: str, **options: Any) -> TrialValue:
        """Return when a watch would have spoken, over what is kept of a stream.

        Args:
            stream: its name.
            question: what is asked.
            **options: as ``watch``, and from_seconds and to_seconds of the stream.
        """
        return await self._do(calls.test_watch(stream, question, options))

    async def incidents(self, **wanted: Any) -> tuple[IncidentValue, ...]:
        """Return what alerts opened, the newest first.

        Args:
            **wanted: stream, status ("open" or "ended"), severity (list), reviewed, from_ and to (seconds
                since 1970), before (id), limit.
        """
        return await self._do(calls.incidents(wanted))

    async def review(self, incident: str, *, reviewed: bool = True) -> IncidentValue:
        """Note that you have, or have not, reviewed an incident."""
        return await self._do(calls.review(incident, reviewed=reviewed))

    async def webhooks(self) -> tuple[dict[str, Any], ...]:
        """Return who is told what happens, as the server's documents say it; without their secrets."""
        return await self._do(calls.webhooks())

    async def add_webhook(self, url: str, **options: Any) -> dict[str, Any]:
        """Have a receiver told what happens from now on.

        Args:
            url: of the receiver, as the server permits.
            **options: secret, kinds, streams.

        Returns:
            A document with ``webhook`` and its ``secret``, which is told only now.
        """
        return await self._do(calls.add_webhook(url, options))

    async def change_webhook(self, number: int, **changes: Any) -> dict[str, Any]:
        """Change a webhook: ``secret``, ``kinds``, ``streams``, ``is_on``."""
        return await self._do(calls.change_webhook(number, changes))

    async def delete_webhook(self, number: int) -> None:
        """Have a receiver told no more."""
        await self._do(calls.delete_webhook(number))

    async def memory(self, stream: str) -> dict[str, Any]:
        """Return which moments each layer of a memory keeps, as the server's document says it."""
        return await self._do(calls.document(calls.stream_path(stream, "memory")))

    async def health(self) -> dict[str, Any]:
        """Return whether the server takes work, as its document says it; one that does not raises."""
        return await self._do(calls.document("/health/ready"))

    async def picture(self, path: str) -> bytes:
        """Return a picture by the ``picture_url`` of an event, a moment or a memory: a JPEG file.

        Of a whole address, as webhooks tell it, the path alone counts: it is this server that is asked.
        """
        return await self._file(calls.picture_path(path), kind="image/jpeg")

    async def _file(self, path: str, *, kind: str) -> bytes:
        with self._speaking():
            response = await self._http.get(path)
        return file_of(response, kind)

    async def _do(self, call: calls.Call[T]) -> T:
        with self._speaking():
            response = await self._http.request(**call.arguments())
        return result_of(response, call.read)

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except httpx.RequestError as error:
            raise unreachable(self._address, error) from error


async def _check_streamed(response: httpx.Response) -> None:
    if not response.is_success:
        await response.aread()
    check(response)
