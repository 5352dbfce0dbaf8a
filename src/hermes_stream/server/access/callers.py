"""Who calls: from a key, a cookie or a token to what its holder may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hermes_stream.server.access.origins import check_host, check_origin
from hermes_stream.server.access.signing import Signer
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.settings import ServerSettings
from hermes_stream.service.keys import SCOPES, KeyRecord, Keys, Scope

COOKIE = "hermes_session"
COOKIE_SECONDS = 7 * 24 * 3600.0
TOKEN_SECONDS = 60.0
_COOKIE, _TOKEN = "cookie", "websocket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request.

    Attributes:
        key: the key's record; None where none is asked for.
    """

    key: KeyRecord | None

    @property
    def scopes(self) -> list[str]:
        """What the caller may do."""
        return list(SCOPES) if self.key is None else sorted(self.key.scopes)

    def check(self, scope: Scope) -> None:
        """Check that the caller may do something.

        Raises:
            RefusedError: the key's scopes do not reach as far.
        """
        if self.key is not None and not self.key.allows(scope):
            raise RefusedError(
                403,
                f"this key may {', '.join(self.scopes)}; this request needs {scope!r}: use another key",
                code="scope_too_small",
                accepted=[scope, "admin"],
            )


class Access:
    """Tells who calls.

    Args:
        settings: of the server.
        keys: of the service.
        signer: makes and reads cookies and tokens.
    """

    def __init__(self, settings: ServerSettings, keys: Keys, signer: Signer) -> None:
        self._settings, self._keys, self._signer = settings, keys, signer

    def identify(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], *, method: str, token: str | None = None
    ) -> Caller:
        """Return who sent a request. Asks the record: not for the event loop's thread.

        Args:
            headers: of the request, names in lower case.
            cookies: of the request.
            method: of HTTP; ``WEBSOCKET`` for one.
            token: of a WebSocket's address.

        Raises:
            RefusedError: there is no key, or it is worth nothing; or a strange page sends this.
        """
        bearer = _bearer(headers)
        if bearer is None:
            check_origin(self._settings, headers, method=method)
        if not self._settings.needs_keys:
            check_host(self._settings, headers)
            return Caller(key=None)
        if bearer is not None:
            return self._known(self._keys.verify(bearer))
        if method == "WEBSOCKET" and token is not None:
            return self._of_signed(_TOKEN, token)
        if COOKIE in cookies:
            return self._of_signed(_COOKIE, cookies[COOKIE])
        raise _unauthorized("this request has no key; send one as 'Authorization: Bearer KEY'", code="no_key")

    def sign_in(self, secret: str) -> tuple[Caller, str]:
        """Return who has a key, and the cookie that stands for it.

        Raises:
            RefusedError: the key is worth nothing.
        """
        caller = self._known(self._keys.verify(secret))
        return caller, self._sign(_COOKIE, caller, COOKIE_SECONDS)

    def websocket_token(self, caller: Caller) -> str:
        """Return a text that stands for the caller in the address of a WebSocket, for a minute."""
        return self._sign(_TOKEN, caller, TOKEN_SECONDS)

    def _sign(self, purpose: str, caller: Caller, seconds: float) -> str:
        return self._signer.sign(purpose, {"key": caller.key and caller.key.id}, seconds=seconds)

    def _of_signed(self, purpose: str, text: str) -> Caller:
        claims = self._signer.read(purpose, text)
        number = None if claims is None else claims.get("key")
        return self._known(None if number is None else self._keys.get(number))

    def _known(self, record: KeyRecord | None) -> Caller:
        if record is None:
            raise _unauthorized(
                "this key, cookie or token is not known, was revoked, or is too old; "
                "ask for a new key (hermes keys create)",
                code="wrong_key",
            )
        return Caller(key=record)


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret.strip() else None


def _unauthorized(message: str, *, code: str) -> RefusedError:
    return RefusedError(401, message, code=code, headers={"WWW-Authenticate": "Bearer"})
