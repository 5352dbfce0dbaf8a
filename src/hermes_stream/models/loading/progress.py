"""How far loading is, told through a callback; the bars of the libraries below stay silent meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from transformers.utils import logging

Item = TypeVar("Item")

_one_hook_at_a_time = threading.RLock()


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


@contextmanager
def reading_told_to(on_progress: OnProgress | None) -> Iterator[None]:
    """Tell how many tensors transformers has read; no bar is drawn, and all is then as before.

    transformers has one hook for the bars of a whole process, so that one model is read at a time.
    """

    def watch(_factory: object, arguments: tuple[Any, ...], named: dict[str, Any]) -> _Watched[Any]:
        return _Watched(named["iterable"] if "iterable" in named else next(iter(arguments), ()), on_progress)

    with _one_hook_at_a_time:
        before, verbosity = logging.set_tqdm_hook(watch), logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_tqdm_hook(before)
            logging.set_verbosity(verbosity)


class _Watched(Iterable[Item]):
    """Stands where transformers would draw a bar; whatever else is asked of a bar does nothing."""

    def __init__(self, items: Collection[Item], on_progress: OnProgress | None) -> None:
        self._items = items
        self._on_progress = on_progress

    def __iter__(self) -> Iterator[Item]:
        total = len(self._items)
        for number, item in enumerate(self._items, start=1):
            yield item
            if self._on_progress is not None:
                self._on_progress(LoadingProgress(stage="read", done=number, total=total))

    def __enter__(self) -> _Watched[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def download_bar(on_progress: OnProgress | None, total_bytes: int) -> type:
    """Return a class that stands for the hub's bars and tells the bytes that were written.

    Args:
        on_progress: whom to tell; None tells nobody.
        total_bytes: of all files that are fetched.
    """

    class Bar:
        _lock = threading.RLock()

        def __init__(self, *_: object, **named: Any) -> None:
            self.total = named.get("total") or 0
            self.n = named.get("initial") or 0
            self.format_dict: dict[str, object] = {}
            self._counts_bytes = named.get("unit") == "B"

        def update(self, count: float | None = 1) -> None:
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

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_, **__: None

    return Bar
