"""What settings ask of a service that runs: streams with their standing questions, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from hermes_stream.service.settings import NamedStream, WebhookSettings
from hermes_stream.service.settings_check import source_options_of
from hermes_stream.service.status import StreamStatus
from hermes_stream.service.watch_settings import WatchSettings

if TYPE_CHECKING:
    from hermes_stream.service.service import Service


def open_configured(
    service: Service,
    name: str,
    stream: NamedStream,
    watches: Iterable[WatchSettings],
    *,
    on_trouble: Callable[[str], None],
) -> StreamStatus:
    """Open a stream whose source is trusted, and ask its watches.

    Args:
        service: opens it.
        name: of the stream.
        stream: as settings name it.
        watches: of all streams, asked beside its own.
        on_trouble: told which watch is not asked, and why; the others are.

    Returns:
        What became of it.

    Raises:
        HermesError, ValueError, TypeError: it is not opened.
    """
    options = stream.model_dump(exclude_unset=True, exclude={"source", "source_options", "watches"})
    status = service.open_stream(name, stream.source, source_options=source_options_of(stream), **options)
    for watch in (*watches, *stream.watches):
        try:
            service.watches.put(name, watch)
        except Exception as error:
            on_trouble(f"watch {watch.label!r} of stream {name!r} is not asked: {error}")
    return status


def tell_configured(
    service: Service, webhooks: Iterable[WebhookSettings], *, on_trouble: Callable[[str], None]
) -> None:
    """Let the receivers be told that settings name; who cannot be is told to ``on_trouble``."""
    for webhook in webhooks:
        try:
            service.webhooks.put(
                webhook.url, secret=webhook.secret, kinds=webhook.kinds, streams=webhook.streams
            )
        except Exception as error:
            on_trouble(f"a webhook is not told: {error}")
