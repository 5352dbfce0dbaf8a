"""The scripts about memories on disk, in a short form."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hermes_lab.stress.recorded_life import STYLES, RecordedLife, digest
from hermes_lab.stress.recovery import lives, summary
from hermes_lab.stress.snapshots import try_all
from hermes_stream import load_model


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="programs are copied as Linux does")
def test_killed_it_comes_back_the_same(tmp_path):
    # in a program of its own: a copy of one whose torch has started threads may hang
    command = [sys.executable, "-m", "hermes_lab.stress.recovery", "--kills", "3", "--seed", "4"]
    run = subprocess.run(
        [*command, "--out", tmp_path / "found.json"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    numbers = json.loads((tmp_path / "found.json").read_text())
    assert (numbers["num_kills"], numbers["num_wrong"]) == (3, 0)
    assert numbers["kills"][-1]["num_changes"] > 0


def test_what_is_wrong_is_told():
    good = {
        **dict.fromkeys(("lost_seconds", "num_lost_frames", "num_replayed", "restore_seconds"), 0),
        **{"num_cut_bytes": 3, "is_same": True},
    }
    assert summary([good])["is_good"]
    assert not summary([good, {**good, "is_same": False}])["is_good"]
    assert not summary([good, {**good, "lost_seconds": 1.5}])["is_good"]
    assert summary([good])["num_torn"] == 1


def test_a_memory_that_is_another_is_found(tiny, tmp_path):
    life, other = (RecordedLife(tiny, style=0, seed=seed) for seed in (0, 1))
    expected = life.digests(9)
    session = life.begin()
    while session.num_changes < 6:
        life.go_on(session)
    assert digest(session._stream) == expected[session.num_changes]
    assert len(set(expected)) == len(expected)
    assert other.digests(9)[5] != expected[5]


def test_kills_are_divided_among_lives():
    assert list(lives(25)) == [(0, 10), (1, 10), (2, 5)]
    assert {style for style, _ in lives(60)} == set(range(len(STYLES)))


def test_damaged_and_forged_snapshots(tiny):
    numbers = try_all(tiny, num_damaged=100, num_forged=25, seed=1)
    assert numbers["num_bad"] == 0, numbers["outcomes"]
    assert numbers["outcomes"]["damaged"]["refused"] > 90
