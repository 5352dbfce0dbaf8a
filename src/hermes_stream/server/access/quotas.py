"""How much a key's holder may do: questions a minute, and streams at once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from hermes_stream.server.errors import RefusedError

_MINUTE_SECONDS = 60.0


class Quotas:
    """Counts what the holders of keys ask; any thread may call.

    Args:
        clock: seconds, monotonic.

    Attributes:
        opening: held by a caller with a quota from where streams are counted until one more is open.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock, self.opening = threading.Lock(), threading.Lock()
        self._asked: dict[int, deque[float]] = {}

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


def check_streams(most: int | None, num_open: int) -> None:
    """Check that a key's holder may open another stream.

    Args:
        most: streams at once; None is without limit.
        num_open: streams that were opened in the key's name and still are.

    Raises:
        RefusedError: as many are open as may be.
    """
    if most is not None and num_open >= most:
        raise RefusedError(
            429,
            f"this key may have {most} streams open, and has; close one of them",
            code="quota_of_streams",
            accepted={"streams": most},
            retry_after_seconds=_MINUTE_SECONDS,
        )
