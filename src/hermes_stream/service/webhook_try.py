"""One try to send a message: over within its time, whatever the receiver does."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

import httpx

from hermes_stream.errors import HermesError

_TRY_LATER = frozenset({408, 425, 429})
_CONNECTED = "connection.connect_tcp.complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of one try.

    Attributes:
        status: of HTTP; None where nothing answered.
        failure: what went wrong, without secrets; None where it arrived.
        retry_after_seconds: when the receiver wants to be asked again.
    """

    status: int | None
    failure: str | None
    retry_after_seconds: float | None = None

    @property
    def has_arrived(self) -> bool:
        """Whether the receiver has it."""
        return self.failure is None

    @property
    def is_refused(self) -> bool:
        """Whether the receiver will never take it."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in _TRY_LATER


class WebhookTry:
    """One try, in a thread of its own; it ends in time because its connection is closed where it does not.

    The limits of httpx are for each piece that is read: a receiver that drips its answer, or says 103 without
    end, keeps them all.

    Args:
        post: sends the message; it is given a ``trace`` extension for its request.
    """

    def __init__(self, post: Callable[[Callable[[str, Any], None]], Attempt]) -> None:
        self._post = post
        self._changing = Lock()
        self._attempt: Attempt | None = None
        self._connection: socket.socket | None = None
        self._has_ended = Flag()

    def outcome(self, within_seconds: float) -> Attempt:
        """Send the message, and return what became of it."""
        Thread(target=self._run, name="hermes-webhook-try", daemon=True).start()
        self._has_ended.wait(within_seconds)
        return self.end(
            Attempt(status=None, failure=f"the receiver did not answer within {within_seconds:g} s")
        )

    def end(self, attempt: Attempt) -> Attempt:
        """Break the try off with this outcome, where it has none yet; return the one that it has."""
        with self._changing:
            self._attempt = self._attempt or attempt
            self._break_connection()
            self._has_ended.set()
            return self._attempt

    def _run(self) -> None:
        attempt = Attempt(status=None, failure="sending failed; the log of the service says why")
        try:
            attempt = self._post(self._follow)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, HermesError) as error:
            reason = str(error) if isinstance(error, HermesError) else type(error).__name__
            attempt = Attempt(status=None, failure=reason)
        finally:
            self.end(attempt)
            with self._changing:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None

    def _follow(self, step: str, found: Mapping[str, Any]) -> None:
        """Take note of the connection, as soon as there is one."""
        if step != _CONNECTED:
            return
        with self._changing:
            # a duplicate: the socket itself is taken over when TLS begins
            self._connection = found["return_value"].get_extra_info("socket").dup()
            if self._attempt is not None:  # broken off while it connected
                self._break_connection()

    def _break_connection(self) -> None:
        if self._connection is not None:
            with suppress(OSError):  # the receiver has left already
                self._connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads or writes
