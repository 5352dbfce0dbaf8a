"""Waiting for what another thread or program does."""

from __future__ import annotations

import time


def until(condition, seconds: float = 20.0):
    """Wait until a condition holds; return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
    return found
