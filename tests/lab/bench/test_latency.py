from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from hermes_lab.bench import roofline
from hermes_lab.bench.latency import LatencyBenchmark
from hermes_lab.bench.latency_row import _quartiles
from hermes_lab.bench.roofline import measure_roofline
from hermes_lab.bench.timed_stream import TimedStream
from hermes_lab.bench.workload import make_workload, without_stop_tokens
from hermes_stream import FullPolicy, HermesPolicy, WindowPolicy
from hermes_stream.policies.recent_n import RecentNPolicy
from hermes_stream.policies.rekv import RekvPolicy

BUDGET = 40
FRAME_COUNTS = (8, 24)


@pytest.fixture(scope="module")
def benchmark(model):
    workload = make_workload(model, image_size=48, question_tokens=16, new_tokens=3, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roofline, "_TRY_SECONDS", 0.02)
        measured = measure_roofline(model, workload)
    return LatencyBenchmark(
        model=without_stop_tokens(model),
        policies={
            "hermes": HermesPolicy.paper(BUDGET),
            "full": FullPolicy(),
            "window": WindowPolicy(budget_tokens=BUDGET),
            "recent_n": RecentNPolicy(budget_tokens=BUDGET),
            "rekv": RekvPolicy(budget_tokens=BUDGET),
            "reprefill": None,
        },
        workload=workload,
        roofline=replace(measured, memory_bytes_per_second=1e10, operations_per_second=1e11),
        chunk_frames=4,
        repeats=3,
    )


@pytest.fixture(scope="module")
def found(benchmark):
    return benchmark.run(FRAME_COUNTS)


@pytest.fixture(scope="module")
def rows(found):
    return {(row["policy"], row["num_frames"]): row for row in found[0]}


def test_a_row_for_each_policy_and_length(benchmark, rows, found):
    assert list(rows) == [(name, count) for name in benchmark.policies for count in FRAME_COUNTS]
    assert found[1] == []
    for row in rows.values():
        assert 0 < row["ttft_low_seconds"] <= row["ttft_seconds"] <= row["ttft_high_seconds"]
        assert row["ttft_from_arrival_low_seconds"] <= row["ttft_from_arrival_seconds"]
        assert row["ttft_from_full_chunk_seconds"] > row["ttft_seconds"]
        assert row["seconds_per_token_low"] <= row["seconds_per_token"] <= row["seconds_per_token_high"]
        assert row["ingest_low_fps"] <= row["ingest_high_fps"]
        assert row["num_repeats"] == 3
        assert row["peak_bytes"] > row["cache_bytes"] > 0
        assert row["floor_seconds_per_token"] > 0
        assert 0 < row["floor_ttft_seconds"] <= row["floor_ttft_from_arrival_seconds"]


def test_a_bounded_memory_takes_the_same_at_every_length(rows):
    for name in ("hermes", "window", "recent_n"):
        short, long = rows[name, 8], rows[name, 24]
        assert short["cache_bytes"] == long["cache_bytes"]
        assert short["peak_bytes"] == long["peak_bytes"]
        assert short["floor_ttft_seconds"] == long["floor_ttft_seconds"]
    assert rows["full", 24]["cache_bytes"] > rows["full", 8]["cache_bytes"]
    assert rows["reprefill", 24]["host_bytes"] == 3 * rows["reprefill", 8]["host_bytes"]
    assert rows["rekv", 24]["host_bytes"] > rows["rekv", 8]["host_bytes"]
    assert rows["hermes", 24]["host_bytes"] == 0


def test_memories_without_a_bound_hold_all(rows, model):
    per_frame = model.card.tokens_per_temporal_patch
    assert rows["reprefill", 24]["num_visual_tokens_kept"] == 24 * per_frame
    assert rows["full", 24]["num_visual_tokens_kept"] >= 24 * per_frame
    assert rows["hermes", 24]["num_visual_tokens_kept"] <= BUDGET


def test_where_the_time_of_a_frame_goes(benchmark, rows):
    for (name, _), row in rows.items():
        stages = row["ingest_seconds_per_frame"]
        assert list(stages) == ["decode", "preprocess", "encode", "prefill", "compress"]
        assert stages["decode"] == benchmark.workload.decode_seconds
        assert sum(stages.values()) <= 1.0001 / row["ingest_fps"]
        is_stored = name in ("recent_n", "reprefill")
        assert (stages["encode"] == stages["prefill"] == 0) == is_stored
        assert (row["ceiling_ingest_fps"] is None) == is_stored
    assert rows["hermes", 24]["ingest_seconds_per_frame"]["compress"] > 0
    assert rows["full", 24]["ingest_seconds_per_frame"]["compress"] == 0


def test_ratios_are_within_the_run(rows):
    assert rows["hermes", 8]["ttft_over_hermes"] == 1
    assert rows["reprefill", 24]["ttft_over_hermes"] > 1
    assert rows["hermes", 8]["ttft_over_64_frames"] is None


def test_the_plain_model_prefills_all_when_asked(rows):
    assert rows["reprefill", 24]["floor_ttft_seconds"] > rows["reprefill", 8]["floor_ttft_seconds"]
    assert rows["reprefill", 24]["floor_ttft_seconds"] > rows["full", 24]["floor_ttft_seconds"]


def test_questions_beyond_the_models_positions_are_marked(benchmark):
    positions, model = 200, copy.copy(benchmark.model)
    model.layout = replace(model.layout, max_positions=positions)
    policies = {"hermes": HermesPolicy.paper(BUDGET), "full": FullPolicy(), "reprefill": None}
    rows, _ = replace(benchmark, model=model, policies=policies).run(
        [positions // model.card.tokens_per_temporal_patch]
    )
    assert [(row["policy"], row["beyond_positions"]) for row in rows] == [
        ("hermes", False),
        ("full", True),
        ("reprefill", True),
    ]
    assert model.layout.max_positions == positions


def test_what_takes_too_long_is_left_out(benchmark):
    slow = replace(benchmark.roofline, memory_bytes_per_second=1.0, operations_per_second=1.0)
    rows, left_out = replace(benchmark, roofline=slow, max_seconds=1e-6).run([8])
    assert [row["policy"] for row in rows] == ["hermes", "window", "recent_n", "rekv"]
    assert [(one["policy"], one["num_frames"]) for one in left_out] == [("full", 8), ("reprefill", 8)]
    assert "each question takes" in left_out[1]["reason"]
    assert "are allowed" in left_out[0]["reason"]
    assert all(row["num_repeats"] == 3 for row in rows)


def test_what_does_not_fit_is_left_out(benchmark, monkeypatch):
    from hermes_lab.bench import latency

    monkeypatch.setattr(latency, "host_free_bytes", lambda: 10**5)
    rows, left_out = replace(benchmark, policies={"full": FullPolicy()}).run([8])
    assert rows == []
    assert "GB free" in left_out[0]["reason"]


@pytest.mark.parametrize("name", ["observe_chunk", "ask", "ask_on_arrival", "measure_peak"])
def test_a_stream_that_fails_ends_its_own_measurement_only(benchmark, monkeypatch, name):
    whole = getattr(TimedStream, name)

    def act(stream, **options):
        if (stream.policy, stream.num_frames) == ("window", 8):
            raise RuntimeError("misaligned address\nand more")
        return whole(stream, **options)

    monkeypatch.setattr(TimedStream, name, act)
    policies = {"hermes": HermesPolicy.paper(BUDGET), "window": WindowPolicy(budget_tokens=BUDGET)}
    rows, left_out = replace(benchmark, policies=policies).run(FRAME_COUNTS)
    found = [(row["policy"], row["num_frames"]) for row in rows]
    assert found == [("hermes", 8), ("hermes", 24), ("window", 24)]
    assert left_out == [{"policy": "window", "num_frames": 8, "reason": "misaligned address"}]
    assert all(row["peak_bytes"] > 0 for row in rows)


def test_what_was_measured_so_far_is_stored(benchmark):
    stored = []
    policies = {"hermes": HermesPolicy.paper(BUDGET)}
    rows, _ = replace(benchmark, policies=policies).run(
        FRAME_COUNTS, store=lambda rows, left_out: stored.append(copy.deepcopy(rows))
    )
    keys = ("ttft_seconds", "ttft_from_arrival_seconds", "peak_bytes")
    known = [[[row[key] is not None for key in keys] for row in one] for one in stored]
    assert known == [
        [[True, False, False]] * 2,
        [[True, True, False]] * 2,
        [[True, True, True], [True, True, False]],
        [[True, True, True]] * 2,
    ]
    assert stored[-1] == rows
    assert [row["graph_pool_bytes"] for row in rows] == [0, 0]  # nothing is captured on a processor


def test_quartiles():
    assert _quartiles([3.0]) == [3.0, 3.0, 3.0]
    assert _quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == [2.0, 3.0, 4.0]
