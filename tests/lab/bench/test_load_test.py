from __future__ import annotations

from dataclasses import replace

import pytest

from hermes_lab.bench.load_test import LoadTest, _Load
from hermes_lab.bench.workload import make_workload
from hermes_stream import HermesPolicy
from hermes_stream.stream import engine


@pytest.fixture(scope="module")
def load_test(model):
    workload = make_workload(model, image_size=48, question_tokens=12, new_tokens=2, seed=0)
    return LoadTest(
        model=model, policy=HermesPolicy.paper(40), workload=workload, chunk_frames=4, seconds=1.5
    )


@pytest.fixture(scope="module")
def rows(load_test):
    rows, refused = load_test.run([1, 3])
    assert refused == []
    return rows


@pytest.mark.long
def test_a_row_for_each_number_of_streams(rows):
    assert [row["num_streams"] for row in rows] == [1, 3]
    for row in rows:
        assert row["fps_per_stream"] * row["num_streams"] == pytest.approx(row["fps_total"])
        assert row["fps_total"] > 0
        assert row["num_frames"] == 2 * row["num_streams"] - (
            row["num_streams"] == 3
        )  # the third begins at 2/3 s
        assert row["num_questions"] >= 1
        assert 0 < row["ttft_median_seconds"] <= row["ttft_p99_seconds"]
        assert 0 <= row["idle_share"] < 1
        assert row["peak_bytes"] > row["bytes_per_stream"] * row["num_streams"]


def test_each_stream_takes_the_same(rows):
    assert rows[0]["bytes_per_stream"] == rows[1]["bytes_per_stream"]


def test_what_has_no_room_is_refused(load_test, monkeypatch):
    monkeypatch.setattr(engine, "free_bytes", lambda device: 10**6)
    rows, refused = load_test.run([1000])
    assert rows == []
    assert refused[0]["num_streams"] == 1000
    assert "close a stream" in refused[0]["reason"]


def test_a_number_of_streams_that_fails_ends_alone(load_test, monkeypatch):
    whole, stored = _Load.measure, []

    def measure(load):
        if len(load._streams) == 2:
            raise RuntimeError("out of memory")
        return whole(load)

    monkeypatch.setattr(_Load, "measure", measure)
    rows, refused = replace(load_test, seconds=1.0).run(
        [1, 2, 3], store=lambda rows, refused: stored.append((len(rows), len(refused)))
    )
    assert [row["num_streams"] for row in rows] == [1, 3]
    assert refused == [{"num_streams": 2, "reason": "out of memory"}]
    assert stored == [(1, 0), (1, 1), (2, 1)]
