"""A service behind HTTP and WebSocket; see docs/api.md and docs/security.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermes_stream.server.app import create_app
    from hermes_stream.server.running import Server
    from hermes_stream.server.settings import ServerSettings

__all__ = ["create_app", "Server", "ServerSettings"]

_PLACES = {
    "create_app": "hermes_stream.server.app",
    "Server": "hermes_stream.server.running",
    "ServerSettings": "hermes_stream.server.settings",
}


def __getattr__(name: str) -> Any:
    """Load what needs the extra ``server`` on first use, so that options are known without it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_PLACES[name]), name)
    except ModuleNotFoundError as error:
        from hermes_stream.errors import MissingPackageError

        if (error.name or "").startswith("hermes_stream"):
            raise
        raise MissingPackageError(
            f"the server needs the package {error.name!r}; install it: pip install 'hermes-stream[server]'"
        ) from error
