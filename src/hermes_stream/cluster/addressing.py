"""Which stream a request is about: said by its path, its query or its body."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

_IN_PATH = re.compile(r"/v1/(?:streams|streaming/sessions)/([^/]+)(?:/.*)?")
_REFERENCE = re.compile(rb'"stream://([A-Za-z0-9][A-Za-z0-9._-]*)')
_MAX_TOKEN_CHARACTERS = 4096
OPENS = "/v1/streams"
"""Where streams are opened and listed: the body of a POST names one."""
NAMED_IN_BODY = frozenset({OPENS, "/v1/chat/completions", "/v1/responses"})
"""Paths whose POST says in its body which stream it is about."""


def stream_of_path(path: str, query: bytes) -> str | None:
    """Return the stream that an address names; None where it names none.

    Args:
        path: of the request, decoded or not.
        query: what stands behind the question mark.
    """
    if found := _IN_PATH.fullmatch(path):
        return unquote(found[1])
    if path.startswith("/v1/realtime"):
        values = parse_qs(query.decode("latin-1"))
        if "stream" in values:
            return values["stream"][0]
        if "resume" in values:
            return _stream_of_token(values["resume"][0])
    return None


def stream_of_body(path: str, body: bytes) -> str | None:
    """Return the stream that the body of a POST names; None where it names none.

    What is malformed names none, and is refused by whoever reads it for good.
    """
    if path != OPENS:
        found = _REFERENCE.search(body)
        return None if found is None else found[1].decode("ascii")
    try:
        said = json.loads(body)
    except ValueError:
        return None
    name = said.get("name") if isinstance(said, Mapping) else None
    return name if isinstance(name, str) else None


def _stream_of_token(token: str) -> str | None:
    """Return what a resume token says; whoever has the stream checks who signed it."""
    body = token.partition(".")[0]
    try:
        claims = json.loads(base64.urlsafe_b64decode(body[:_MAX_TOKEN_CHARACTERS] + "=" * (-len(body) % 4)))
    except ValueError:
        return None
    name = claims.get("stream") if isinstance(claims, Mapping) else None
    return name if isinstance(name, str) else None
