from __future__ import annotations

import pytest

from hermes_stream.cli.output import clock, milliseconds, size


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0:00"), (7, "0:07"), (13.013, "0:13"), (59.96, "1:00"), (61.5, "1:01.5"), (3723, "1:02:03")],
)
def test_clock(seconds, written):
    assert clock(seconds) == written


@pytest.mark.parametrize(
    ("num_bytes", "written"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (6_350_880, "6.4 MB"),
        (141e9, "141 GB"),
        (2e16, "20000 TB"),
    ],
)
def test_size(num_bytes, written):
    assert size(num_bytes) == written


def test_milliseconds():
    assert milliseconds(0.0123) == "12 ms"
