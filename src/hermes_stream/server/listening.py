"""The address of a server: taken before anything slow begins, listened at when somebody answers."""

from __future__ import annotations

import socket

from hermes_stream.errors import ServiceError
from hermes_stream.server.settings import ServerSettings

BACKLOG = 256


def bind(settings: ServerSettings) -> socket.socket:
    """Take the address that the settings name; who connects is refused until it is listened at.

    Raises:
        ServiceError: another program has it, or it is none of this machine.
    """
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # named as TCP, connections are told apart as such: asyncio sends small pieces of them at once
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, settings.port))
    except OSError as error:
        listener.close()
        raise _taken(settings, error) from error
    return listener


def listen(listener: socket.socket, settings: ServerSettings) -> None:
    """Listen at an address that was taken.

    Raises:
        ServiceError: another program, which took it at the same time, listens there.
    """
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _taken(settings, error) from error


def _taken(settings: ServerSettings, error: OSError) -> ServiceError:
    return ServiceError(
        f"cannot listen at {settings.host}, port {settings.port} ({error.strerror}); take another port, "
        "or end the program that has it"
    )
