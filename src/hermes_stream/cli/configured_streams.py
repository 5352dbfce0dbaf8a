"""Streams that a settings file or the command line names: opened at the start, and on SIGHUP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from hermes_stream.cli.output import complain
from hermes_stream.errors import SettingsError

if TYPE_CHECKING:
    from hermes_stream.service import Service
    from hermes_stream.service.settings import StartSettings


def open_streams(service: Service, start: StartSettings) -> None:
    """Open the streams that are named, and ask their watches.

    What cannot be opened or asked is told, and the others go on.
    """
    from hermes_stream.service.configured import open_configured

    for name, stream in start.streams.items():
        try:
            open_configured(service, name, stream, start.watches, on_trouble=_warn)
        except Exception as error:
            _warn(f"stream {name!r} is not opened: {error}")


def tell_receivers(service: Service, start: StartSettings) -> None:
    """Let the receivers be told that are named."""
    from hermes_stream.service.configured import tell_configured

    tell_configured(service, start.webhooks, on_trouble=_warn)


def _warn(text: str) -> None:
    complain(text, kind="warning")


@final
class Reloads:
    """Opens new streams of the settings file on SIGHUP, where there is such a signal.

    A signal that comes before there is a service is remembered until there is.

    Args:
        start_now: reads the file again, and returns what it names.
    """

    def __init__(self, start_now: Callable[[], StartSettings]) -> None:
        self._start_now = start_now
        self._service: Service | None = None
        self._is_due = False

    def __enter__(self) -> Reloads:
        if hasattr(signal, "SIGHUP"):
            self._before = signal.signal(signal.SIGHUP, lambda *_: self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._before)

    @contextmanager
    def into(self, service: Service) -> Iterator[None]:
        """Open streams in a service while the block lasts."""
        self._service = service
        if self._is_due:
            self._begin()
        try:
            yield
        finally:
            self._service = None

    def _begin(self) -> None:
        self._is_due = self._service is None
        if not self._is_due:
            # a thread of its own: the signal comes in the middle of the server's work
            threading.Thread(target=self._reload, args=(self._service,), daemon=True).start()

    def _reload(self, service: Service) -> None:
        try:
            open_streams(service, self._start_now())
        except SettingsError as error:
            complain(f"not reloaded: {error}", kind="warning")
