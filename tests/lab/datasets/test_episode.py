from __future__ import annotations

import math

import pytest
from tests.lab.episodes import question


def test_delay_counts_from_when_the_oldest_evidence_left():
    assert question(at=20.0, evidence=[(1.0, 4.0), (6.0, 9.0)]).delay_seconds == 16.0
    assert question(at=9.0, evidence=[(6.0, 9.0)]).delay_seconds == 0.0


@pytest.mark.parametrize(("at", "evidence"), [(20.0, []), (math.inf, [(1.0, 4.0)])])
def test_no_delay_without_evidence_or_moment(at, evidence):
    assert question(at=at, evidence=evidence).delay_seconds is None
