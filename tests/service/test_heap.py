"""What is freed is handed back to the system."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hermes_stream.service.heap import trim_heap

_LARGE_BLOCKS = """
import sys
from pathlib import Path
from hermes_stream.service.heap import bound_heap

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "bounded":
    assert bound_heap()
large = bytearray(30 << 20)
del large  # from now on glibc would keep blocks of this size
before = resident()
pinned = []
for _ in range(20):
    large = bytearray(b"1") * (3 << 20)
    pinned.append(bytearray(b"1") * 100_000)  # lies behind it
    del large
print(resident() - before)
"""


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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is asked")
def test_large_blocks_leave_nothing_behind_where_the_heap_is_bounded() -> None:
    left = {
        way: int(subprocess.check_output([sys.executable, "-c", _LARGE_BLOCKS, way]))
        for way in ("bounded", "as it is")
    }
    assert left["bounded"] < 3_000_000 < left["as it is"]
