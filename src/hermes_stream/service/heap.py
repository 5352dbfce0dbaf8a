"""Keep the memory of a program that runs for days in bounds, where the C library would let it creep."""

from __future__ import annotations

import ctypes
from functools import cache

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
_LARGE_BYTES = 1 << 20
_MOST_ARENAS = 2


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
        return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
    except OSError:  # another C library, or another system
        return None


def bound_heap() -> bool:
    """Let large blocks go back to the system when they are freed, and threads share few heaps.

    By itself glibc keeps blocks of up to 32 MB once it has seen one freed, in a heap for each thread, and
    what small blocks pin there stays resident. For a program of one's own: it holds for the whole process. To
    be called before threads are made; without glibc it does nothing.

    Returns:
        Whether glibc took it.
    """
    library = _glibc()
    if library is None:
        return False
    settings = ((_MMAP_THRESHOLD, _LARGE_BYTES), (_ARENA_MAX, _MOST_ARENAS))
    return all(library.mallopt(name, value) == 1 for name, value in settings)


def trim_heap() -> bool:
    """Give freed pages back, as glibc keeps those that lie below what is still in use.

    Takes milliseconds; without glibc it does nothing.

    Returns:
        Whether pages were given back.
    """
    library = _glibc()
    return library is not None and library.malloc_trim(0) == 1
