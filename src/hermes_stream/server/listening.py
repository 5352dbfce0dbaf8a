"""The address of a server: taken before anything slow begins, listened at when somebody answers."""

from __future__ import annotations

import socket

from hermes_stream.errors import ServiceError

BACKLOG = 256


def bind(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """Take an address; who connects is refused until it is listened at.

    Args:
        host: a name or number of this machine.
        port: 0 takes a free one.
        is_shared: let other sockets of this user be at the same port: the system hands each connection to one
            of those that listen.

    Raises:
        ServiceError: another program has it, or it is none of this machine.
    """
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    # named as TCP, connections are told apart as such: asyncio sends small pieces of them at once
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((bare, port))
    except OSError as error:
        listener.close()
        raise _taken(host, port, error) from error
    return listener


def listen(listener: socket.socket, host: str, port: int) -> None:
    """Listen at an address that was taken.

    Raises:
        ServiceError: another program, which took it at the same time, listens there.
    """
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _taken(host, port, error) from error


def is_free(host: str, port: int) -> bool:
    """Tell whether nobody is at a port."""
    try:
        bind(host, port).close()
    except ServiceError:
        return False
    return True


def free_port(host: str) -> int:
    """Return a port that is free at the moment."""
    with bind(host, 0) as found:
        port: int = found.getsockname()[1]
        return port


def _taken(host: str, port: int, error: OSError) -> ServiceError:
    return ServiceError(
        f"cannot listen at {host}, port {port} ({error.strerror}); take another port, or end the program "
        "that has it"
    )
