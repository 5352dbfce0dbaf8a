"""The scripts about memories on disk, in a short form."""

from __future__ import annotations

import numpy as np
import pytest

from hermes_lab.stress.recorded_life import STYLES, RecordedLife, digest
from hermes_lab.stress.recovery import kill_again_and_again, lives, summary
from hermes_lab.stress.snapshots import try_all
from hermes_stream import load_model


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


def test_killed_twice_it_comes_back_the_same(tiny, tmp_path):
    found = kill_again_and_again(tiny, tmp_path, style=1, kills=2, rng=np.random.default_rng(4))
    numbers = summary(found)
    assert numbers["num_kills"] == 2
    assert numbers["num_wrong"] == 0
    assert found[-1]["num_changes"] > 0
    assert numbers["is_good"]


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
    numbers = try_all(tiny, num_damaged=200, num_forged=40, seed=1)
    assert numbers["num_bad"] == 0, numbers["outcomes"]
    assert numbers["outcomes"]["damaged"]["refused"] > 190
