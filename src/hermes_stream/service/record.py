"""What happened, for whoever looks back: found by words, told as a report, shown as a clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hermes_stream.service.search import SearchPage
from hermes_stream.service.store import Store
from hermes_stream.service.stream_rows import StreamRow


class Record:
    """Looks back at what a service recorded. Threads may share it.

    Args:
        store: the record.
        row_of: finds the row of a stream by its name.
    """

    def __init__(self, store: Store, row_of: Callable[[str], StreamRow]) -> None:
        self._store, self._row_of = store, row_of

    def search(self, words: str = "", *, stream: str | None = None, **chosen: Any) -> SearchPage:
        """Find events, answers and descriptions by words and time, the newest first.

        Args:
            words: see ``Search.find``.
            stream: name of the only stream; None for all.
            **chosen: kinds, since, until, before, limit; see ``Search.find``.

        Raises:
            UnknownStreamError: there is no such stream.
            ValueError: the words hold none, or a number is out of its range.
        """
        stream_id = None if stream is None else self._row_of(stream).id
        return self._store.search.find(words, stream_id=stream_id, **chosen)
