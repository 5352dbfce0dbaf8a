"""Streams as tools of assistants that speak the Model Context Protocol: they look through cameras."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

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
    "`events` tells what happened."
)
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

    async def ask(self, stream: str, question: str, **options: Any) -> Documented:
        """Ask about what a stream has shown."""

    async def events(self, **wanted: Any) -> tuple[Any, ...]:
        """Return recorded events."""

    async def picture(self, path: str) -> bytes:
        """Return a picture by its address on the server."""


def assistant_server(service: Asked) -> MCPServer:
    """Return a server of tools over a running service; its ``run`` speaks by standard input and output.

    Args:
        service: is asked.
    """
    server = MCPServer("hermes-stream", instructions=_INSTRUCTIONS, version=__version__)

    @server.tool()
    async def streams() -> list[dict[str, Any]]:
        """List the video streams that are watched, with their state and the time of their newest picture."""
        found = await _told(service.streams)
        return [{name: one.document.get(name) for name in _FIELDS} for one in found]

    @server.tool()
    async def ask(stream: str, question: str, options: list[str] | None = None) -> dict[str, Any]:
        """Ask a question about what a stream has shown so far.

        Args:
            stream: name of the stream.
            question: in plain words.
            options: choices, one of which is the answer.
        """
        answer = await _told(lambda: service.ask(stream, question, options=options))
        return dict(answer.document)

    @server.tool()
    async def events(stream: str | None = None, after: int = 0, limit: int = 50) -> list[dict[str, Any]]:
        """Tell what happened to streams, the newest last.

        Args:
            stream: name of a stream; all without.
            after: number of an event, behind which they begin.
            limit: at most so many, the newest.
        """
        wanted = {"stream": stream, "after": after or None, "limit": max(1, min(limit, 1000))}
        found = await _told(lambda: service.events(**wanted, newest_first=True))
        return [dict(one.document) for one in reversed(found)]

    @server.tool()
    async def picture(url: str) -> Image:
        """Show a picture by the `picture_url` of an answer's evidence or of an event."""
        if not url.startswith("/v1/pictures/"):
            raise ToolError(f"{url[:100]!r} is no picture_url of this service")
        return Image(data=await _told(lambda: service.picture(url)), format="jpeg")

    return server


async def _told(call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call gives; an assistant is told why one fails, in the service's own words."""
    try:
        return await call()
    except (HermesError, ValueError, PermissionError) as error:
        raise ToolError(str(error)) from error
