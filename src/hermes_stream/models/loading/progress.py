"""Progress of loading, reported through a callback; the libraries' own bars stay silent meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from transformers.utils import logging

_reading = threading.RLock()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingProgress:
    """A moment of loading.

    Attributes:
        stage: "download" from the hub, counted in bytes; then "read" into memory, counted in tensors.
        done: how many are there.
        total: how many there will be.
    """

    stage: Literal["download", "read"]
    done: int
    total: int


OnProgress = Callable[[LoadingProgress], None]


class _SilentBar:
    """Stand in for a library's progress bar; what it is asked for beside counting does nothing."""

    def __enter__(self) -> _SilentBar:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class _ReadingBar(_SilentBar):
    def __init__(self, items: Collection[Any], on_progress: OnProgress | None) -> None:
        self._items = items
        self._on_progress = on_progress

    def __iter__(self) -> Iterator[Any]:
        for done, item in enumerate(self._items, start=1):
            yield item
            if self._on_progress is not None:
                self._on_progress(LoadingProgress(stage="read", done=done, total=len(self._items)))


@contextmanager
def report_reading(on_progress: OnProgress | None) -> Iterator[None]:
    """Report how many tensors transformers has read; afterwards its settings are as before."""

    def stand_in(_factory: object, arguments: tuple[Any, ...], named: dict[str, Any]) -> _ReadingBar:
        return _ReadingBar(named.get("iterable") or next(iter(arguments), ()), on_progress)

    # transformers has one hook for the bars of a whole process, so that one model is read at a time.
    with _reading:
        before, verbosity = logging.set_tqdm_hook(stand_in), logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_tqdm_hook(before)
            logging.set_verbosity(verbosity)


def download_bar(on_progress: OnProgress | None, total_bytes: int) -> type:
    """Return a class for the hub to use instead of its bars; it reports the bytes that were written.

    Args:
        on_progress: called with each step; None reports nothing.
        total_bytes: of all files that are fetched.
    """

    class DownloadBar(_SilentBar):
        _lock = threading.RLock()

        def __init__(self, *_: object, **named: Any) -> None:
            self.total = named.get("total") or 0
            self.n = named.get("initial") or 0
            self.format_dict: dict[str, object] = {}
            self._counts_bytes = named.get("unit") == "B"

        def update(self, count: int | float | None = 1) -> None:
            self.n += count or 0
            if on_progress is not None and self._counts_bytes and total_bytes:
                done = min(int(self.n), total_bytes)
                on_progress(LoadingProgress(stage="download", done=done, total=total_bytes))

        @classmethod
        def get_lock(cls) -> threading.RLock:
            return cls._lock

        @classmethod
        def set_lock(cls, lock: threading.RLock) -> None:
            cls._lock = lock

    return DownloadBar
