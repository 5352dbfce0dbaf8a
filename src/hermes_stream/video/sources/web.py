"""Reading over HTTP: every address on the way is checked, and stopping never waits."""

from __future__ import annotations

import base64
import http.client
import io
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from typing import Any, final
from urllib.parse import urljoin
from urllib.request import HTTPDigestAuthHandler, Request, parse_http_list, parse_keqv_list

from hermes_stream.errors import VideoError
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.dialing import Access, dial
from hermes_stream.video.sources.lifeline import TICK_SECONDS, Lifeline

_MAX_REDIRECTS = 5
_REASONS = {
    401: "user name or password are missing or wrong",
    403: "it refuses access",
    404: "it knows no such path",
}


@final
class WebStream:
    """The body of an answer, read as it comes; a file for PyAV.

    Where it breaks before its declared end the rest is asked for, if the server gives parts.

    Attributes:
        address: that answered: where the one that was asked sent on to.
        content_type: that the server says it has, lower case, without parameters.
        num_bytes: how long the body is; None for one without a declared end.
        is_broken: tells whether it ended before that.
    """

    def __init__(self, answer: http.client.HTTPResponse, address: Address, access: Access) -> None:
        self.address = address
        self.content_type = answer.headers.get_content_type().lower()
        self.num_bytes = answer.length
        self.is_broken = False
        self._answer, self._access, self._lifeline = answer, access, access.lifeline
        self._gives_parts = answer.headers.get("Accept-Ranges", "").lower() == "bytes"
        tag = answer.headers.get("ETag", "W/")
        self._version = answer.headers.get("Last-Modified") if tag.startswith("W/") else tag

    def read(self, num_bytes: int) -> bytes:
        """Return what has come, at least one byte; nothing at the end, or when reading is cut."""
        content = self._read(num_bytes)
        while not content and self._answer.length and not self.is_broken:
            self.is_broken = not self._goes_on()
            content = self._read(num_bytes)
        self._lifeline.received(len(content))
        return content

    def _read(self, num_bytes: int) -> bytes:
        try:
            return self._answer.read1(num_bytes)
        except (OSError, HTTPException):
            return b""

    def _goes_on(self) -> bool:
        """Ask for what is missing until it comes; tell whether it is the rest of the same."""
        begin = (self.num_bytes or 0) - (self._answer.length or 0)
        part = f"bytes {begin}-{(self.num_bytes or 0) - 1}/{self.num_bytes}"
        headers = {"Range": f"bytes={begin}-"} | ({"If-Range": self._version} if self._version else {})
        while self._gives_parts and not self._lifeline.is_cut:
            time.sleep(TICK_SECONDS)
            try:
                answer, _ = _answered(self.address, self._access, headers)
            except VideoError:
                continue  # it may be starting again
            if answer.headers.get("Content-Range", "") == part:
                self._answer.close()
                self._answer = answer
                return True
            answer.close()
            return False
        return False

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()


def open_web(address: Address, access: Access) -> WebStream:
    """Ask a server for an address, follow where it sends, log in where it asks for that.

    Raises:
        SourceRefusedError: the policy does not allow the address, or one that it leads to.
        VideoError: there is no such answer.
    """
    answer, address = _answered(address, access, {})
    return WebStream(answer, address, access)


def _answered(
    address: Address, access: Access, headers: Mapping[str, str]
) -> tuple[http.client.HTTPResponse, Address]:
    for _ in range(_MAX_REDIRECTS):
        answer = _asked(address, access, headers)
        if answer.status == 401 and address.user is not None:
            answer.close()
            login = _login(address, answer.headers.get_all("WWW-Authenticate", []))
            answer = _asked(address, access, {**headers, "Authorization": login})
        if answer.status in (200, 206):
            return answer, address
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


def _asked(address: Address, access: Access, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address.host, address.port)
    if address.scheme == "https":
        connection.default_port = 443
    connected = dial(address, access, is_encrypted=address.scheme == "https")
    connection.sock = _Patient(connected, access.lifeline)
    try:
        own = {"User-Agent": "hermes-stream", "Accept": "*/*"}
        connection.request("GET", address.target, headers={**own, **headers})
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
