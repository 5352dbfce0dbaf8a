"""Where a client finds its server, and who it is."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

_DEFAULT_URL = "http://127.0.0.1:8000"


def connection_of(
    url: str | None, key: str | None, *, timeout_seconds: float, verify: bool | str
) -> tuple[str, dict[str, Any]]:
    """Return the address, as it may be shown, and arguments of an ``httpx`` client.

    Args:
        url: address of the server; None takes ``HERMES_URL``, or this machine's port 8000.
        key: who asks; None takes ``HERMES_KEY``, if there is one.
        timeout_seconds: how long a response may be silent.
        verify: whether certificates are checked, or the file of one that is trusted.

    Raises:
        ValueError: the address or the key is none.
    """
    url = url or os.environ.get("HERMES_URL") or _DEFAULT_URL
    key = key or os.environ.get("HERMES_KEY") or None
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # not shown: it may hold a password
        raise ValueError(
            f"the server's address has no host and port to be read; give one such as {_DEFAULT_URL}"
        ) from None
    if not is_address:
        raise ValueError(f"the server's address is {url!r}; give one such as {_DEFAULT_URL}")
    if parts.username or parts.password:
        raise ValueError("the server's address holds a user name or password; give the key by itself")
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("the key is none: keys have no blanks and no letters beyond ASCII")
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    address = f"{parts.scheme}://{parts.netloc}"
    return address, {
        "base_url": f"{address}{parts.path.rstrip('/')}",
        "headers": headers,
        "timeout": timeout_seconds,
        "verify": verify,
        # a redirect would carry the key to wherever it leads
        "follow_redirects": False,
    }
