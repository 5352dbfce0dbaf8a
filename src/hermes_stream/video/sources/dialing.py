"""Connecting to a machine: its number is checked when it is connected to, and stopping never waits."""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Any, final

from hermes_stream.errors import SourceRefusedError, VideoError
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.lifeline import TICK_SECONDS, Lifeline
from hermes_stream.video.sources.policy import SourcePolicy

# Not select.select, which fails once a program has a thousand files open.
_SELECTOR: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How other machines are reached.

    Attributes:
        policy: says which may be.
        lifeline: says when to give up.
        verify_tls: tells whether certificates are checked.
    """

    policy: SourcePolicy
    lifeline: Lifeline
    verify_tls: bool = True


def resolve(address: Address, access: Access) -> list[str]:
    """Return the numbers of an address's host, each allowed to be reached.

    Raises:
        SourceRefusedError: the policy allows none of them.
        VideoError: nobody knows the name, or this was cut.
    """
    found: list[Any] = []
    # A thread, since the system's resolver cannot be stopped and may take half a minute.
    asking = threading.Thread(target=_look_up, args=(address, found), daemon=True, name="resolve")
    asking.start()
    while asking.is_alive() and not access.lifeline.is_cut:
        asking.join(TICK_SECONDS)
    if not found or isinstance(found[0], OSError):
        reason = f": {found[0].strerror}" if found else ""
        raise VideoError(f"the name {address.host} is not known{reason}; check it, and the network")
    refusal: SourceRefusedError | None = None
    allowed = []
    for number in dict.fromkeys(found):
        try:
            access.policy.check_reached(address, number)
            allowed.append(number)
        except SourceRefusedError as error:
            refusal = error
    if not allowed and refusal is not None:
        raise refusal
    return allowed


def dial(address: Address, access: Access, *, is_encrypted: bool = False) -> socket.socket:
    """Connect to an address's host over TCP.

    Args:
        address: where to.
        access: how.
        is_encrypted: speak TLS.

    Returns:
        A connected socket, whose calls time out after ``TICK_SECONDS``.

    Raises:
        SourceRefusedError: the policy does not allow it.
        VideoError: there is no connection.
    """
    reason = "no answer"
    for number in resolve(address, access):
        connection: socket.socket | None = None
        try:
            connection = _connected(number, address.port or 0, access.lifeline)
            return _encrypted(connection, address, access) if is_encrypted else connection
        except OSError as error:
            if connection is not None:
                connection.close()
            reason = str(error.strerror or error)
            if isinstance(error, ssl.SSLCertVerificationError):
                reason = f"its certificate is not trusted ({error.verify_message}), see verify_tls"
    raise VideoError(f"{address.shown} cannot be reached: {access.lifeline.why_cut or reason}")


def wait_for(
    reading: list[socket.socket], writing: list[socket.socket]
) -> tuple[set[socket.socket], set[socket.socket]]:
    """Wait up to ``TICK_SECONDS`` and return which sockets can be read and which can be written."""
    with _SELECTOR() as selector:
        for one in {*reading, *writing}:
            events = selectors.EVENT_READ * (one in reading) | selectors.EVENT_WRITE * (one in writing)
            selector.register(one, events)
        ready = [(key.fileobj, events) for key, events in selector.select(TICK_SECONDS)]
    readable = {one for one, events in ready if events & selectors.EVENT_READ}
    writable = {one for one, events in ready if events & selectors.EVENT_WRITE}
    return readable, writable  # type: ignore[return-value]


def _look_up(address: Address, found: list[Any]) -> None:
    try:
        answers = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        found.extend(str(answer[4][0]) for answer in answers)
    except (OSError, UnicodeError) as error:
        found.append(error if isinstance(error, OSError) else OSError(0, "no name that a host can have"))


def _connected(number: str, port: int, lifeline: Lifeline) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in number else socket.AF_INET)
    try:
        connection.setblocking(False)
        connection.connect_ex((number, port))
        while not lifeline.is_cut:
            _, writable = wait_for([], [connection])
            if writable:
                if failure := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(failure, os.strerror(failure))
                connection.settimeout(TICK_SECONDS)
                return connection
        raise OSError(lifeline.why_cut)
    except OSError:
        connection.close()
        raise


def _encrypted(connection: socket.socket, address: Address, access: Access) -> socket.socket:
    context = ssl.create_default_context()
    if not access.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    encrypted = context.wrap_socket(connection, server_hostname=address.host, do_handshake_on_connect=False)
    try:
        while not access.lifeline.is_cut:
            try:
                encrypted.do_handshake()
                return encrypted
            except TimeoutError:
                continue
        raise OSError(access.lifeline.why_cut)
    except OSError:
        encrypted.close()
        raise
