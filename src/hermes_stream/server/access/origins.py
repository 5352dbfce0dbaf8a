"""Which web pages may call: a browser sends its user's cookie, and reaches this machine, for any page."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from hermes_stream.server.errors import RefusedError
from hermes_stream.server.settings import ServerSettings

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def check_origin(settings: ServerSettings, headers: Mapping[str, str], *, method: str) -> None:
    """Refuse what a strange page makes a browser send.

    Requests with a key in the Authorization header are not checked: a page that sends that has the key.

    Args:
        settings: name the origins that are allowed.
        headers: of the request.
        method: of HTTP; ``WEBSOCKET`` for one.

    Raises:
        RefusedError: the page's origin is neither the server's own nor allowed.
    """
    origin = headers.get("origin")
    if origin is None or method in _SAFE_METHODS:
        return
    own = urlsplit(origin).netloc.lower()
    if origin in settings.allow_origins or (own and own == headers.get("host", "").lower()):
        return
    raise RefusedError(
        403,
        f"pages of {origin[:200]!r} may not use this server; its own pages may, and those in allow_origins",
        code="origin_refused",
        param="Origin",
        accepted=list(settings.allow_origins),
    )


def check_host(settings: ServerSettings, headers: Mapping[str, str]) -> None:
    """Refuse a request for another host's name, where no key is asked for.

    A page may have its own name point to this machine, and would be of the server's origin then.

    Raises:
        RefusedError: the Host header names neither this machine nor an allowed host.
    """
    if not settings.is_local or settings.needs_keys:
        return
    name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if name == "localhost" or name in settings.allow_hosts or _is_loopback(name):
        return
    raise RefusedError(
        403,
        f"this server is not called {name[:200]!r}; it asks for no key, so that it answers to localhost, "
        "127.0.0.1, and the names in allow_hosts alone",
        code="host_refused",
        param="Host",
        accepted=["localhost", "127.0.0.1", *settings.allow_hosts],
    )


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
