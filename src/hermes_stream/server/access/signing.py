"""Short texts that the server gives out and recognises later: cookies and tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_SECRET_BYTES = 32
_MAX_CHARACTERS = 4096


class Signer:
    """Signs what a client carries for the server; nothing of it is secret, but nobody else can make it.

    Args:
        secret: of the server.
        clock: seconds since 1970.
    """

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._secret, self._clock = secret, clock

    def sign(self, purpose: str, content: Mapping[str, Any], *, seconds: float) -> str:
        """Return a text that ``read`` gives back.

        Args:
            purpose: what it is good for; a cookie is no token.
            content: JSON values.
            seconds: how long it is good.
        """
        claims = {**content, "until": self._clock() + seconds}
        body = _encode(json.dumps(claims, separators=(",", ":")).encode())
        return f"{body}.{_encode(self._signature(purpose, body))}"

    def read(self, purpose: str, text: str) -> dict[str, Any] | None:
        """Return what was signed, or None where the text is forged, for another purpose, or too old."""
        body, _, signature = text.partition(".")
        if len(text) > _MAX_CHARACTERS or not text.isascii():
            return None
        if not hmac.compare_digest(signature, _encode(self._signature(purpose, body))):
            return None
        claims: dict[str, Any] = json.loads(_decode(body))
        return claims if claims.pop("until") > self._clock() else None

    def _signature(self, purpose: str, body: str) -> bytes:
        return hmac.new(self._secret, f"{purpose}:{body}".encode(), hashlib.sha256).digest()


def server_secret(path: Path) -> bytes:
    """Return the secret kept in a file that its owner alone may read; the first time, make it.

    Raises:
        OSError: the file cannot be read or written.
    """
    try:
        secret = path.read_bytes()
        if len(secret) == _SECRET_BYTES:
            return secret
        path.unlink()  # half written
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_bytes(_SECRET_BYTES)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    return secret


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
