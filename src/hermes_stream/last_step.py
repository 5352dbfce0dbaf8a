"""The last step of a change to a memory: Ctrl-C waits until it is done, a failure in it is not forgotten."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self, final

from hermes_stream.errors import BrokenMemoryError

_RAISING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name))


class Uninterrupted:
    """Lets signals whose handlers may raise wait until a block is done; they come right behind it.

    Python calls handlers in its main thread; in others there is nothing to wait for.
    """

    def __init__(self) -> None:
        self._callbacks: dict[int, Any] = {}
        self._waiting: list[int] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _RAISING:
                # others end the process, or are ignored
                if callable(callback := signal.getsignal(number)):
                    self._callbacks[number] = callback
                    signal.signal(number, self._wait)
        return self

    def __exit__(self, *_: object) -> None:
        callbacks, self._callbacks = self._callbacks, {}
        for number, callback in callbacks.items():
            signal.signal(number, callback)
        waiting, self._waiting = self._waiting, []
        for number in dict.fromkeys(waiting):  # where one raises, the others are as good as answered with it
            callbacks[number](number, None)

    def _wait(self, number: int, _: FrameType | None) -> None:
        self._waiting.append(number)


@final
class LastStep(Uninterrupted):
    """Ends a change to a memory; where it fails, the memory is neither as it was nor as it should be."""

    def __init__(self) -> None:
        super().__init__()
        self._failure: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether no block has failed."""
        return self._failure is None

    def check(self) -> None:
        """Check that the memory may be used.

        Raises:
            BrokenMemoryError: a block has failed.
        """
        if self._failure is not None:
            raise BrokenMemoryError(
                f"the memory of this stream is broken: {self._failure} came while its tokens were moved, and "
                "nobody can tell which ones were; restore a snapshot, or open a new stream"
            )

    def __exit__(self, *raised: object) -> None:
        if (error := raised[1]) is not None:
            self._failure = f"{type(error).__name__} ({error})" if str(error) else type(error).__name__
        super().__exit__()
