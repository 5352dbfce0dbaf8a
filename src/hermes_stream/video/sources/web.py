"""Reading over HTTP: every address on the way is checked, and stopping never waits."""

from __future__ import annotations

import base64
import http.client
import io
import socket
from contextlib import suppress
from http.client import HTTPException
from typing import Any, final
from urllib.parse import urljoin
from urllib.request import HTTPDigestAuthHandler, Request, parse_http_list, parse_keqv_list

from hermes_stream.errors import VideoError
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.dialing import Access, dial
from hermes_stream.video.sources.lifeline import Lifeline

_MAX_REDIRECTS = 5
_REASONS = {
    401: "user name or password are missing or wrong",
    403: "it refuses access",
    404: "it knows no such path",
}


@final
class WebStream:
    """The body of an answer, read as it comes; a file for PyAV.

    Attributes:
        address: that answered: where the one that was asked sent on to.
        content_type: that the server says it has, lower case, without parameters.
    """

    def __init__(self, answer: http.client.HTTPResponse, address: Address, lifeline: Lifeline) -> None:
        self.address = address
        self.content_type = answer.headers.get_content_type().lower()
        self._answer, self._lifeline = answer, lifeline

    @property
    def num_bytes(self) -> int | None:
        """How long the body is; None for one without a declared end."""
        return self._answer.length

    def read(self, num_bytes: int) -> bytes:
        """Return what has come, at least one byte; nothing at the end, or when reading is cut."""
        try:
            content = self._answer.read1(num_bytes)
        except (OSError, HTTPException):
            return b""
        self._lifeline.received(len(content))
        return content

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()


def open_web(address: Address, access: Access) -> WebStream:
    """Ask a server for an address, follow where it sends, log in where it asks for that.

    Raises:
        SourceRefusedError: the policy does not allow the address, or one that it leads to.
        VideoError: there is no such answer.
    """
    for _ in range(_MAX_REDIRECTS):
        answer = _asked(address, None, access)
        if answer.status == 401 and address.user is not None:
            answer.close()
            login = _login(address, answer.headers.get_all("WWW-Authenticate", []))
            answer = _asked(address, login, access)
        if answer.status == 200:
            return WebStream(answer, address, access.lifeline)
        answer.close()
        location = answer.getheader("Location")
        if answer.status not in (301, 302, 303, 307, 308) or location is None:
            reason = _REASONS.get(answer.status, answer.reason)
            raise VideoError(f"{address.shown} answers {answer.status}: {reason}")
        address = neighbour(address, location)
        access.policy.check(address)
    raise VideoError(f"{address.shown} sends from one address to the next, more than {_MAX_REDIRECTS} times")


def neighbour(address: Address, link: str) -> Address:
    """Return the address that a link names, seen from another; it is logged in to on the same machine alone.

    Raises:
        VideoError: it leads away from the web.
    """
    base = f"{address.scheme}://{address.host_and_port}{address.target}"
    try:
        found: Address | None = Address.parse(urljoin(base, link))
    except ValueError:
        found = None
    if found is None or found.scheme not in ("http", "https"):
        raise VideoError(
            f"{address.shown} leads to an address that is not read; accepted: http:// and https://"
        )
    if (found.scheme, found.host, found.port) == (address.scheme, address.host, address.port):
        return found.with_login(address)
    return found


def _asked(address: Address, login: str | None, access: Access) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address.host, address.port)
    if address.scheme == "https":
        connection.default_port = 443
    connected = dial(address, access, is_encrypted=address.scheme == "https")
    connection.sock = _Patient(connected, access.lifeline)
    headers = {"User-Agent": "hermes-stream", "Accept": "*/*"}
    if login is not None:
        headers["Authorization"] = login
    try:
        connection.request("GET", address.target, headers=headers)
        return connection.getresponse()
    except (OSError, HTTPException, ValueError) as error:
        connected.close()
        reason = access.lifeline.why_cut or f"its answer is none ({type(error).__name__})"
        # from None: what was caught may quote the address
        raise VideoError(f"{address.shown} cannot be read: {reason}") from None


def _login(address: Address, challenges: list[str]) -> str:
    """Return what logs in where a server asks for that, in one way or in several.

    Raises:
        VideoError: it asks in none that is known.
    """
    user, password = address.user or "", address.password or ""
    url = f"{address.scheme}://{address.host_and_port}{address.target}"
    digests = [
        rest for kind, _, rest in (one.partition(" ") for one in challenges) if kind.lower() == "digest"
    ]
    for rest in digests:
        with suppress(ValueError, OSError):  # malformed, or of a kind that Python does not know
            asked = parse_keqv_list(parse_http_list(rest))
            digest: Any = HTTPDigestAuthHandler()
            digest.add_password(asked.get("realm"), url, user, password)
            if said := digest.get_authorization(Request(url), asked):
                return f"Digest {said}"
    if digests:
        raise VideoError(
            f"{address.shown} asks for a login that is not known; let it ask for Basic, or Digest with MD5"
        )
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@final
class _Patient:
    """What http.client needs of a socket, over one whose calls time out again and again."""

    def __init__(self, connected: socket.socket, lifeline: Lifeline) -> None:
        self._socket, self._lifeline = connected, lifeline

    def sendall(self, content: bytes) -> None:
        self._socket.sendall(content)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(PatientReader(self._socket, self._lifeline), 2**16)

    def close(self) -> None:
        """Leave it to the reader, which http.client closes with the answer."""


@final
class PatientReader(io.RawIOBase):
    """Reads a socket until something comes or its lifeline is cut, which looks like its end.

    Args:
        connected: its calls time out often; closed with this.
        lifeline: when to give up.
    """

    def __init__(self, connected: socket.socket, lifeline: Lifeline) -> None:
        self._socket, self._lifeline = connected, lifeline

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come."""
        while not self._lifeline.is_cut:
            try:
                return self._socket.recv_into(buffer)
            except TimeoutError:
                continue
        return 0

    def close(self) -> None:
        """Close the socket."""
        if not self.closed:
            self._socket.close()
        super().close()
