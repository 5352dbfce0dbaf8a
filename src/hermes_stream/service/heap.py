"""Hand memory that is free inside the program back to the system."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


@cache
def _malloc_trim() -> Any | None:
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):  # another C library, or another system
        return None


def trim_heap() -> bool:
    """Give freed pages back, as glibc keeps those that lie below what is still in use.

    Pictures, journals and texts come and go by the thousand in a program that runs for days: without it what
    is resident creeps upwards though nothing is held. Takes milliseconds; without glibc it does nothing.

    Returns:
        Whether pages were given back.
    """
    trim = _malloc_trim()
    return bool(trim is not None and trim(0))
