"""What a stream that was brought back goes on with: its source, and that it is told."""

from __future__ import annotations

import logging

from hermes_stream.errors import HermesError
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.shown import without_folders
from hermes_stream.service.source_opening import SourceOpener

log = logging.getLogger(__name__)


def tell_restored(served: ServedStream) -> None:
    """Record that a stream goes on, and with how much."""
    live = served.live
    served.tell(
        "stream_restored",
        pts_seconds=served.restored_until_seconds,
        num_frames=0 if live is None else live.handle.stream.intake.num_accepted,
    )


def open_source_again(served: ServedStream, sources: SourceOpener) -> None:
    """Read the source that a stream had, where it can be opened again; tell it where it cannot."""
    row = served.row
    if row.source is None or not row.opens_again or row.has_ended:
        return
    try:
        newest = served.ring.counts.newest_seconds
        opened = sources.open(row.source, served.choices, row, newest)
    except (HermesError, ValueError) as error:
        log.warning("the source of stream %s cannot be opened: %s", row.name, error)
        reason = without_folders(str(error), row.source)
        served.tell("source_state", state="waiting", what="failed", reason=reason)
        return
    if opened is not None:
        served.start_feed(opened)
