"""Streams as tools of assistants that speak the Model Context Protocol: they look through cameras."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError

from hermes_stream._version import __version__
from hermes_stream.errors import HermesError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_INSTRUCTIONS = (
    "Live video streams that are being watched. `streams` names them. `ask` asks about what a stream has "
    "shown so far, now or earlier; its answer cites moments in seconds of the stream. "
    "`events` tells what happened, `search` finds it by words. `add_watch` has a question asked again and "
    "again; what its alerts opened is told by `incidents`."
)
_MAX_LISTED = 1000
_MAX_FOUND = 100
_MAX_WAIT_SECONDS = 45.0  # a client gives up after a minute of silence, a server 10 s after the wait
_FIELDS = ("name", "state", "reason", "newest_pts_seconds", "lag_seconds", "num_frames", "policy")


class Documented(Protocol):
    """Anything that a service tells, as a JSON document."""

    @property
    def document(self) -> Mapping[str, Any]:
        """All of it."""


class Asked(Protocol):
    """A service that can be asked: the asynchronous client, or the like."""

    async def streams(self, *, closed: bool = False) -> tuple[Any, ...]:
        """Return all streams."""

    async def ask(
        self,
        stream: str,
        question: str,
        *,
        options: list[str] | None = None,
        clarify_below: float | None = None,
        wait_seconds: float | None = None,
        until: str | None = None,
    ) -> Documented:
        """Ask about what a stream has shown."""

    async def events(self, **wanted: Any) -> tuple[Any, ...]:
        """Return recorded events."""

    async def picture(self, path: str) -> bytes:
        """Return a picture by its address on the server."""

    async def search(self, words: str = "", **wanted: Any) -> dict[str, Any]:
        """Find what was recorded."""

    async def watches(self, stream: str) -> tuple[Any, ...]:
        """Return the standing questions of a stream."""

    async def watch(self, stream: str, question: str, **options: Any) -> Documented:
        """Have a question asked again and again."""

    async def delete_watch(self, stream: str, watch: int | str) -> None:
        """Delete a watch."""

    async def incidents(self, **wanted: Any) -> tuple[Any, ...]:
        """Return what alerts opened."""


def assistant_server(service: Asked) -> MCPServer:
    """Return a server of tools over a running service; its ``run`` speaks by standard input and output.

    Args:
        service: is asked.
    """
    server = MCPServer("hermes-stream", instructions=_INSTRUCTIONS, version=__version__)
    _add_questions(server, service)
    _add_record(server, service)
    _add_watches(server, service)
    return server


def _add_questions(server: MCPServer, service: Asked) -> None:
    """Add the tools that look now."""

    @server.tool()
    async def streams() -> list[dict[str, Any]]:
        """List the video streams that are watched, with their state and the time of their newest picture."""
        found = await _told(service.streams)
        return [{name: one.document.get(name) for name in _FIELDS} for one in found]

    @server.tool()
    async def ask(
        stream: str,
        question: str,
        options: list[str] | None = None,
        *,
        clarify_below: float | None = None,
        wait_seconds: float | None = None,
        until: str | None = None,
    ) -> dict[str, Any]:
        """Ask a question about what a stream has shown so far, or will show in the next seconds.

        Args:
            stream: name of the stream.
            question: in plain words.
            options: choices, one of which is the answer.
            clarify_below: reply with a question back, `clarification`, where the confidence, from 0 to 1, is
                below.
            wait_seconds: wait so long, up to 45, for what answers it; `finish_reason` is "not_seen" where
                that did not come, "abandoned" where the stream stood still.
            until: with `wait_seconds`, a question answered by yes once that has been seen; without, the
                model is asked whether it has.
        """
        if wait_seconds is not None and wait_seconds > _MAX_WAIT_SECONDS:
            raise ToolError(
                f"a question waits at most {_MAX_WAIT_SECONDS:g} seconds here, not {wait_seconds:g}; "
                "for more, `add_watch` asks again and again"
            )
        answer = await _told(
            lambda: service.ask(
                stream,
                question,
                options=options,
                clarify_below=clarify_below,
                wait_seconds=wait_seconds,
                until=until,
            )
        )
        return dict(answer.document)


def _add_record(server: MCPServer, service: Asked) -> None:
    """Add the tools that read what was recorded."""

    @server.tool()
    async def events(
        stream: str | None = None, after: int | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Tell what happened to streams, the newest last.

        Args:
            stream: name of a stream; all without.
            after: number of an event, behind which they begin; without, the newest are told.
            limit: at most so many; behind `after` the first, and the last of them is where to go on.
        """
        wanted = {"stream": stream, "limit": max(1, min(limit, _MAX_LISTED))}
        if after is not None:
            return [dict(one.document) for one in await _told(lambda: service.events(**wanted, after=after))]
        found = await _told(lambda: service.events(**wanted, newest_first=True))
        return [dict(one.document) for one in reversed(found)]

    @server.tool()
    async def picture(url: str) -> Image:
        """Show a picture by the `picture_url` of an answer's evidence or of an event."""
        if not url.startswith("/v1/pictures/"):
            raise ToolError(f"{url[:100]!r} is no picture_url of this service")
        return Image(data=await _told(lambda: service.picture(url)), format="jpeg")

    @server.tool()
    async def search(words: str, stream: str | None = None, limit: int = 20) -> dict[str, Any]:
        """Find what was recorded by words: events, answers and descriptions, the newest first.

        Args:
            words: all of which it has; "in quotes" they stand together.
            stream: name of a stream; all without.
            limit: at most so many.
        """
        wanted = {"stream": stream, "limit": max(1, min(limit, _MAX_FOUND))}
        return await _told(lambda: service.search(words, **wanted))


def _add_watches(server: MCPServer, service: Asked) -> None:
    """Add the tools for standing questions, and for what they opened."""

    @server.tool()
    async def watches(stream: str) -> list[dict[str, Any]]:
        """List the standing questions of a stream, with the answer of each that holds now."""
        return [dict(one.document) for one in await _told(lambda: service.watches(stream))]

    @server.tool()
    async def add_watch(
        stream: str,
        question: str,
        *,
        kind: Literal["alert", "state", "count", "describe"] = "alert",
        options: list[str] | None = None,
        name: str | None = None,
        severity: Literal["info", "warning", "alarm"] | None = None,
    ) -> dict[str, Any]:
        """Have a question asked again and again from now on, whoever is there; it stays until it is removed.

        Args:
            stream: name of the stream.
            question: for an alert one to be answered with yes or no.
            kind: "alert" tells when the answer becomes yes, "state" when it is another of the options,
                "count" when a number rises, "describe" says in words what is new.
            options: the answers of a "state".
            name: what to call it; the question without.
            severity: of an alert; "warning" without.
        """
        given = {"kind": kind, "options": options, "name": name, "severity": severity}
        chosen = {key: value for key, value in given.items() if value is not None}
        return dict((await _told(lambda: service.watch(stream, question, **chosen))).document)

    @server.tool()
    async def remove_watch(stream: str, watch: int | str) -> str:
        """Remove a standing question, for everybody; what it told stays in the record.

        Args:
            stream: name of the stream.
            watch: its number or name, as `watches` tells them.
        """
        await _told(lambda: service.delete_watch(stream, watch))
        return f"watch {watch} of stream {stream} is removed"

    @server.tool()
    async def incidents(
        stream: str | None = None, status: Literal["open", "ended"] | None = None, limit: int = 20
    ) -> list[dict[str, Any]]:
        """Tell what alerts opened, the newest first: when it began and ended, and its pictures.

        Args:
            stream: name of a stream; all without.
            status: only those that go on, or only those that are over.
            limit: at most so many, the newest.
        """
        wanted = {"stream": stream, "status": status, "limit": max(1, min(limit, _MAX_FOUND))}
        return [dict(one.document) for one in await _told(lambda: service.incidents(**wanted))]


async def _told(call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call gives; an assistant is told why one fails, in the service's own words."""
    try:
        return await call()
    except (HermesError, ValueError, PermissionError) as error:
        raise ToolError(str(error)) from error
