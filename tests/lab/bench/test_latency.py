from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from hermes_lab.bench.fixed_question import find_question, never_stopping
from hermes_lab.bench.generated_frames import make_footage
from hermes_lab.bench.latency import Course, measure_latency
from hermes_lab.bench.roofline import DeviceSpeed, measure_cost
from hermes_lab.bench.timed_stream import Spread
from hermes_stream import FullPolicy, HermesPolicy, WindowPolicy
from hermes_stream.policies.recent_n import RecentNPolicy
from hermes_stream.policies.rekv import RekvPolicy

SPEED = DeviceSpeed(memory_bytes_per_second=1e10, operations_per_second=1e11, buffer_bytes=8)
BUDGET = 40
FOOTAGE = make_footage(seed=0, size=48, fps=1.0)


@pytest.fixture(scope="module")
def course():
    return Course(
        policies={
            "hermes": HermesPolicy.paper(BUDGET),
            "full": FullPolicy(),
            "window": WindowPolicy(budget_tokens=BUDGET),
            "recent_n": RecentNPolicy(budget_tokens=BUDGET),
            "rekv": RekvPolicy(budget_tokens=BUDGET),
            "reprefill": None,
        },
        frame_counts=[8, 24],
        chunk_frames=4,
        repeats=3,
    )


def measured(model, course, speed=SPEED):
    asking = find_question(model, question_tokens=16, new_tokens=3)
    cost = measure_cost(model, FOOTAGE)
    return measure_latency(never_stopping(model), course, asking, FOOTAGE, cost=cost, speed=speed)


@pytest.fixture(scope="module")
def found(model, course):
    return measured(model, course)


@pytest.fixture(scope="module")
def rows(found):
    return {(row.policy, row.num_frames): row for row in found.rows}


def test_a_row_for_each_memory_and_length(course, rows, found):
    assert list(rows) == [(name, count) for name in course.policies for count in course.frame_counts]
    assert found.left_out == []
    for row in rows.values():
        assert 0 < row.ttft_low_seconds <= row.ttft_seconds <= row.ttft_high_seconds
        assert row.ttft_from_arrival_low_seconds <= row.ttft_from_arrival_seconds
        assert row.ttft_from_full_chunk_seconds > row.ttft_seconds
        assert row.seconds_per_token_low <= row.seconds_per_token <= row.seconds_per_token_high
        assert row.ingest_low_fps <= row.ingest_high_fps
        assert row.num_repeats == 3
        assert row.peak_bytes > row.cache_bytes > 0
        assert row.floor_seconds_per_token > 0
        assert 0 < row.floor_ttft_seconds <= row.floor_ttft_from_arrival_seconds


def test_a_bounded_memory_takes_the_same_at_every_length(rows):
    for name in ("hermes", "window", "recent_n"):
        short, long = rows[name, 8], rows[name, 24]
        assert short.cache_bytes == long.cache_bytes
        assert short.peak_bytes == long.peak_bytes
        assert short.floor_ttft_seconds == long.floor_ttft_seconds
    assert rows["full", 24].cache_bytes > rows["full", 8].cache_bytes
    assert rows["reprefill", 24].host_bytes == 3 * rows["reprefill", 8].host_bytes
    assert rows["rekv", 24].host_bytes > rows["rekv", 8].host_bytes
    assert rows["hermes", 24].host_bytes == 0


def test_memories_without_a_bound_hold_all(rows, model):
    per_frame = model.card.tokens_per_temporal_patch
    assert rows["reprefill", 24].num_visual_tokens_kept == 24 * per_frame
    assert rows["full", 24].num_visual_tokens_kept >= 24 * per_frame
    assert rows["hermes", 24].num_visual_tokens_kept <= BUDGET


def test_where_the_time_of_a_frame_goes(rows):
    for (name, _), row in rows.items():
        stages = row.ingest_seconds_per_frame
        assert list(stages) == ["decode", "preprocess", "encode", "prefill", "compress"]
        assert stages["decode"] == FOOTAGE.decode_seconds
        assert sum(stages.values()) <= 1.0001 / row.ingest_fps
        is_put_by = name in ("recent_n", "reprefill")
        assert (stages["encode"] == stages["prefill"] == 0) == is_put_by
        assert (row.ceiling_ingest_fps is None) == is_put_by
    assert rows["hermes", 24].ingest_seconds_per_frame["compress"] > 0
    assert rows["full", 24].ingest_seconds_per_frame["compress"] == 0


def test_ratios_are_within_the_run(rows):
    assert rows["hermes", 8].ttft_over_hermes == 1
    assert rows["reprefill", 24].ttft_over_hermes > 1
    assert rows["hermes", 8].ttft_over_64_frames is None


def test_the_plain_model_prefills_all_when_asked(rows):
    assert rows["reprefill", 24].floor_ttft_seconds > rows["reprefill", 8].floor_ttft_seconds
    assert rows["reprefill", 24].floor_ttft_seconds > rows["full", 24].floor_ttft_seconds


def test_questions_beyond_the_models_positions_are_marked(model, course):
    positions = 200
    model = copy.copy(model)
    model.layout = replace(model.layout, max_positions=positions)
    course = replace(
        course,
        policies={"hermes": HermesPolicy.paper(BUDGET), "full": FullPolicy(), "reprefill": None},
        frame_counts=[positions // model.card.tokens_per_temporal_patch],
    )
    rows = measured(model, course).rows
    assert [(row.policy, row.beyond_positions) for row in rows] == [
        ("hermes", False),
        ("full", True),
        ("reprefill", True),
    ]
    assert model.layout.max_positions == positions


def test_what_takes_too_long_is_left_out(model, course):
    slow = DeviceSpeed(memory_bytes_per_second=1.0, operations_per_second=1.0, buffer_bytes=8)
    course = replace(course, frame_counts=[8], max_seconds=1e-6)
    found = measured(model, course, slow)
    assert [row.policy for row in found.rows] == ["hermes", "window", "recent_n", "rekv"]
    assert [(one.policy, one.num_frames) for one in found.left_out] == [("full", 8), ("reprefill", 8)]
    assert "each question takes" in found.left_out[1].reason
    assert "are allowed" in found.left_out[0].reason
    assert all(row.num_repeats == 3 for row in found.rows)


def test_what_does_not_fit_is_left_out(model, course, monkeypatch):
    from hermes_lab.bench import latency

    monkeypatch.setattr(latency, "host_free_bytes", lambda: 10**5)
    course = replace(course, policies={"full": FullPolicy()}, frame_counts=[8])
    found = measured(model, course)
    assert found.rows == []
    assert "GB free" in found.left_out[0].reason


def test_spread():
    assert Spread.of([3.0]) == Spread(middle=3.0, low=3.0, high=3.0)
    assert Spread.of([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(middle=3.0, low=2.0, high=4.0)
