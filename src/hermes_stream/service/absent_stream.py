"""Why a stream is not found here: there is none such, or it is another replica's."""

from __future__ import annotations

from collections.abc import Sequence

from hermes_stream.errors import HermesError, NotOwnerError, UnknownStreamError
from hermes_stream.service.store import Store

_MAX_SHOWN = 20


def absent_stream(name: str, open_names: Sequence[str], store: Store) -> HermesError:
    """Return what whoever asks for a stream is told.

    Args:
        name: of the stream.
        open_names: of those that are open here.
        store: the record; where several services share it, it knows the streams of all.
    """
    if store.database.replica_id is not None:
        row = store.streams.find(name)
        if row is not None and row.state == "open":
            return NotOwnerError(f"stream {name!r} is at another replica, or on its way to one; try again")
    known = ", ".join(open_names[:_MAX_SHOWN]) or "none"
    return UnknownStreamError(f"no stream {name!r} is open; open streams: {known}")
