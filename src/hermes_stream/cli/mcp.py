"""``hermes mcp``: the streams of a running service, as tools of an assistant."""

from __future__ import annotations

from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.serving import ServiceOptions, connection
from hermes_stream.errors import MissingPackageError


@expand_options
def mcp(*, service: ServiceOptions) -> None:
    """Offer the streams of a running service to an assistant, by standard input and output (MCP).

    An assistant starts this by itself: its settings name the command 'hermes' with the argument 'mcp', and
    HERMES_URL and HERMES_KEY as its environment.
    """
    try:
        from hermes_stream.client import AsyncClient
        from hermes_stream.server.assistants import assistant_server
    except ModuleNotFoundError as error:
        if (error.name or "hermes_stream").startswith("hermes_stream"):
            raise
        raise MissingPackageError(
            f"this command needs the package {error.name!r}; install: pip install 'hermes-stream[server,mcp]'"
        ) from error
    assistant_server(AsyncClient(*connection(service))).run("stdio")
