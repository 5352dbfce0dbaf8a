from __future__ import annotations

import pytest

from hermes_lab.bench.fixed_question import Asking
from hermes_lab.bench.generated_frames import make_footage
from hermes_lab.bench.load_test import Load, measure_load
from hermes_stream import HermesPolicy
from hermes_stream.stream import engine

FOOTAGE = make_footage(seed=0, size=48, fps=1.0)
ASKING = Asking(question="what is on screen now", num_tokens=12, new_tokens=2)
LOAD = Load(policy=HermesPolicy.paper(40), chunk_frames=4, asking=ASKING, seconds=1.5)


@pytest.fixture(scope="module")
def rows(model):
    rows, refused = measure_load(model, [1, 3], LOAD, FOOTAGE)
    assert refused == []
    return rows


def test_a_row_for_each_number_of_streams(rows):
    assert [row.num_streams for row in rows] == [1, 3]
    for row in rows:
        assert row.fps_per_stream * row.num_streams == pytest.approx(row.fps_total)
        assert row.fps_total > 0
        assert row.num_frames == 2 * row.num_streams - (row.num_streams == 3)  # the third begins at 2/3 s
        assert row.num_questions >= 1
        assert 0 < row.ttft_median_seconds <= row.ttft_p99_seconds
        assert 0 <= row.idle_share < 1
        assert row.peak_bytes > row.bytes_per_stream * row.num_streams


def test_each_stream_takes_the_same(rows):
    assert rows[0].bytes_per_stream == rows[1].bytes_per_stream


def test_what_has_no_room_is_refused(model, monkeypatch):
    monkeypatch.setattr(engine, "free_bytes", lambda device: 10**6)
    rows, refused = measure_load(model, [1000], LOAD, FOOTAGE)
    assert rows == []
    assert refused[0].num_streams == 1000
    assert "close a stream" in refused[0].reason
