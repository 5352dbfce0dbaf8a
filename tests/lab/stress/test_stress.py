"""The stress scripts in short."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hermes_lab.stress.service import Load, run_load
from hermes_stream import load_model


def run(tmp_path, module: str, *words: str) -> dict:
    out = tmp_path / "record.json"
    command = [sys.executable, "-W", "ignore", "-m", f"hermes_lab.stress.{module}", *words, "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    record = json.loads(out.read_text())
    assert record["command"] == f"python -m hermes_lab.stress.{module} {' '.join(words)} --out {out}"
    assert record["versions"]["torch"]
    assert record["machine"]["processor"]
    return record


@pytest.mark.long
def test_streams(tmp_path):
    record = run(tmp_path, "streams", "--streams", "3", "--rounds", "6", "--seed", "5")
    assert (record["seed"], record["num_streams"], record["num_wrong"]) == (5, 3, 0)
    assert record["num_trials"] == len(record["trials"]) == 2 * 5 * 4


@pytest.mark.long
def test_threads(tmp_path):
    record = run(tmp_path, "threads", "--threads", "3", "--seconds", "1", "--seed", "2")
    assert (record["num_errors"], record["num_wrong"], record["num_threads"]) == (0, 0, 3)
    assert record["seconds"] >= 1


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sources(tmp_path):
    record = run(tmp_path, "sources", "--deaths", "2", "--sources", "2", "--seed", "3")
    assert (record["num_wrong"], record["num_deaths"], record["num_reconnections"]) == (0, 2, 4)
    assert record["left"] == {"num_threads": 0, "num_files": 0}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_service_under_load(tmp_path):
    model = load_model("tiny")
    load = Load(num_streams=4, kind="pushed", fps=4.0, questions_per_second=4.0, seconds=3.0, seed=1)
    record = run_load(model, load, tmp_path)
    assert record["is_right"]
    assert record["num_frames"] + record["num_dropped_frames"]["ring"] == record["num_sent_frames"] > 30
    assert record["num_answers"] > 3
    assert 0 < record["ttft_seconds_p50"] <= record["ttft_with_pending_seconds_p99"]


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_day_is_flat(tmp_path):
    # In a program of its own: files and threads of other tests are not counted.
    record = run(tmp_path, "day", "--frames", "400")
    assert (record["num_frames"], record["num_questions"]) == (400, 1)
    assert record["growth"] < 0.05
    assert len(record["thread_counts"]) == len(record["file_counts"]) == 1
    assert len({sample["cache_bytes"] for sample in record["samples"]}) == 1
