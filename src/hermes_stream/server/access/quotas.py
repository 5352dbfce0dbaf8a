"""How much a key's holder may do: questions a minute, and streams at once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from hermes_stream.server.errors import RefusedError

_MINUTE_SECONDS = 60.0


class Quotas:
    """Counts what the holders of keys do; any thread may call.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[int, deque[float]] = {}
        self._owners: dict[str, int] = {}

    def take_question(self, key_id: int, most: int | None) -> None:
        """Count a question.

        Args:
            key_id: whose.
            most: questions a minute; None is without limit.

        Raises:
            RefusedError: as many were asked in the last minute.
        """
        if most is None:
            return
        with self._lock:
            now, asked = self._clock(), self._asked.setdefault(key_id, deque())
            while asked and asked[0] <= now - _MINUTE_SECONDS:
                asked.popleft()
            if len(asked) >= most:
                wait = asked[0] + _MINUTE_SECONDS - now if asked else _MINUTE_SECONDS
                raise RefusedError(
                    429,
                    f"this key may ask {most} questions a minute, and has; ask again in {wait:.0f} s",
                    code="quota_of_questions",
                    accepted={"questions_per_minute": most},
                    retry_after_seconds=wait,
                )
            asked.append(now)

    def take_stream(
        self, key_id: int, most: int | None, name: str, *, is_open: Callable[[str], bool]
    ) -> None:
        """Count a stream that is to be opened.

        Args:
            key_id: who opens it.
            most: streams at once; None is without limit.
            name: of the stream.
            is_open: tells whether a stream is still open.

        Raises:
            RefusedError: as many of this key's streams are open.
        """
        with self._lock:
            mine = [one for one, owner in self._owners.items() if owner == key_id and one != name]
        still = sum(map(is_open, mine))  # asks the service: not under the lock
        if most is not None and still >= most:
            raise RefusedError(
                429,
                f"this key may have {most} streams open, and has; close one of them",
                code="quota_of_streams",
                accepted={"streams": most},
                retry_after_seconds=_MINUTE_SECONDS,
            )
        with self._lock:
            self._owners.setdefault(name, key_id)

    def is_owner(self, name: str, key_id: int) -> bool:
        """Tell whether a key's holder opened a stream."""
        with self._lock:
            return self._owners.get(name) == key_id

    def release_stream(self, name: str) -> None:
        """Forget whose a stream was, once it is closed."""
        with self._lock:
            self._owners.pop(name, None)

    def rename_stream(self, name: str, new_name: str) -> None:
        """Count a stream under its new name."""
        with self._lock:
            if name in self._owners:
                self._owners[new_name] = self._owners.pop(name)
