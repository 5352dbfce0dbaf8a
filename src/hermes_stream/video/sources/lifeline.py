"""When reading gives up: it was told to stop, or nothing came for too long."""

from __future__ import annotations

import threading
import time
from typing import final

TICK_SECONDS = 0.2
"""How often whatever waits for a network looks whether it should go on."""
_MAX_BYTES_PER_PICTURE = 64 * 2**20
_MIN_OPENING_SECONDS = 10.0
# A camera may send its parameters with key frames alone, and these seldom.
_MAX_OPENING_SECONDS = 60.0


@final
class Lifeline:
    """One connection's reason to go on; asked from any thread.

    Args:
        stopped: set when the source is to stop.
        silent_seconds: how long nothing may come.
    """

    def __init__(self, stopped: threading.Event, *, silent_seconds: float) -> None:
        self.silent_seconds = silent_seconds
        self._stopped = stopped
        self._heard = self._began = time.monotonic()
        self._is_opening = True
        self._num_bytes = 0
        self._refusal: str | None = None

    def heard(self) -> None:
        """Note that a picture came."""
        self._heard = time.monotonic()
        self._is_opening = False
        self._num_bytes = 0

    def received(self, num_bytes: int) -> None:
        """Note that bytes came; they are a sign of life until the first picture alone."""
        self._num_bytes += num_bytes
        if self._is_opening and time.monotonic() - self._began < _MAX_OPENING_SECONDS:
            self._heard = time.monotonic()

    def cut(self, reason: str) -> None:
        """End the connection for a reason."""
        self._refusal = self._refusal or reason

    @property
    def why_cut(self) -> str | None:
        """Say why the connection is to end, None while it is not."""
        if self._stopped.is_set():
            return "stopped"
        if self._refusal is not None:
            return self._refusal
        if self._num_bytes > _MAX_BYTES_PER_PICTURE:
            return f"{_MAX_BYTES_PER_PICTURE // 2**20} MiB came and no picture among them"
        silent_seconds = self.silent_seconds
        if self._is_opening:
            # Over UDP nothing of the pictures is seen here until they are read.
            silent_seconds = max(silent_seconds, _MIN_OPENING_SECONDS)
        if time.monotonic() - self._heard > silent_seconds:
            return f"no picture came for {silent_seconds:g} s"
        return None

    @property
    def is_cut(self) -> bool:
        """Tell whether the connection is to end."""
        return self.why_cut is not None
