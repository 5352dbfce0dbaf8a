"""What is freed is handed back to the system."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from hermes_stream.service.heap import trim_heap


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is asked")
def test_trim_heap_gives_back_what_lies_below_something_in_use() -> None:
    blocks = [bytes(60_000) + index.to_bytes(4, "big") for index in range(2000)]
    kept = blocks[::50]  # what is in use lies between, so that the heap cannot shrink from its end
    del blocks
    before = resident_bytes()
    assert trim_heap()
    assert resident_bytes() < before - 60_000_000
    assert [int.from_bytes(one[-4:], "big") for one in kept] == list(range(0, 2000, 50))
