"""Damaged videos: the same for the same seed, watched within limits, counted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hermes_lab.stress.mutations import MUTATIONS, mutated
from hermes_lab.stress.videos import trial
from hermes_lab.stress.workers import Limits, Worker

KINDS = Path(__file__).parents[2] / "data" / "media" / "kinds"
WATCHING = "hermes_lab.stress.watching"
ROOMY = Limits(seconds=20.0, bytes=10**9)
CONTENT = bytes(range(256)) * 20


@pytest.mark.parametrize("name", MUTATIONS)
def test_damage_is_damage_and_the_same_for_the_same_seed(name):
    made = [bytes(MUTATIONS[name](bytearray(CONTENT), np.random.default_rng([3, k]))) for k in range(20)]
    again = [bytes(MUTATIONS[name](bytearray(CONTENT), np.random.default_rng([3, k]))) for k in range(20)]
    assert made == again
    assert sum(one != CONTENT for one in made) >= 15


@pytest.mark.parametrize("content", [b"", b"a", b"ab"])
def test_next_to_nothing_can_be_damaged(content):
    for seed in range(200):
        assert isinstance(mutated(content, np.random.default_rng(seed))[0], bytes)


def test_a_video_of_a_seed_is_always_the_same(tmp_path):
    found = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / folder).mkdir()
        damaged = trial(KINDS).damage(tmp_path / folder, seed, 40)
        content = Path(damaged.task["path"]).read_bytes()
        found.append((damaged.source, damaged.mutations, damaged.task["options"], content))
    assert found[0] == found[1]
    assert found[0][3] != found[2][3]


def test_damaged_videos_are_watched_or_refused():
    watching, count = trial(KINDS), len(list(KINDS.iterdir()))
    outcomes = list(watching.run(count=count, seed=7, limits=ROOMY, num_workers=1))
    counted = watching.summary(outcomes)
    assert [outcome.index for outcome in outcomes] == list(range(count))
    assert counted["num_files"] == sum(counted["outcomes"].values()) == count
    assert counted["wrong"] == []
    assert 0 < counted["largest"]["peak_bytes"] < ROOMY.bytes


def task(path, options):
    return {"path": str(path), "options": options}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(seconds=0.0, bytes=10**9), "hang"),
        (Limits(seconds=20.0, bytes=10**6), "memory"),
    ],
)
def test_limits(limits, expected):
    watcher = Worker(WATCHING, limits)
    try:
        assert watcher.do(task(KINDS / "h264.mp4", {}))["outcome"] == expected
    finally:
        watcher.close()


def test_a_process_that_dies_is_told_and_started_again():
    watcher = Worker(WATCHING, ROOMY)
    try:
        assert watcher.do(task(KINDS / "h264.mp4", {}))["outcome"] == "watched"
        watcher._child.send_signal(signal.SIGKILL)
        watcher._child.wait()
        assert watcher.do(task(KINDS / "h264.mp4", {}))["outcome"] == "crash"
        assert watcher.do(task(KINDS / "h264.mp4", {}))["frames"] == 12
        assert watcher.do(task(KINDS / "h264.mp4", {"fps": -1.0}))["outcome"] == "traceback"
        assert watcher.do(task(KINDS / "animated.webp", {}))["outcome"] == "refused"
    finally:
        watcher.close()


@pytest.mark.long
def test_the_command(tmp_path):
    out = tmp_path / "a.json"
    command = [sys.executable, "-m", "hermes_lab.stress.videos", "--clips", KINDS, "--workers", "1"]
    done = subprocess.run(
        [*command, "--count", "3", "--out", out], check=True, capture_output=True, text=True
    )
    document = json.loads(done.stdout.splitlines()[-1])
    assert document == json.loads(out.read_text())
    assert document["num_files"] == 3
    assert document["command"].startswith("python -m hermes_lab.stress.videos --clips")
    kept = subprocess.run(
        [*command, "--only", "2", "--keep", tmp_path], check=True, capture_output=True, text=True
    )
    assert Path(json.loads(kept.stdout)["task"]["path"]).parent == tmp_path
