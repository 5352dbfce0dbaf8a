"""Events against what was due, against pairs counted by hand and by trying all."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_lab.evaluation.event_matching import Told, match_events

MOMENTS = st.lists(st.integers(0, 12), max_size=4)


def at(*seconds: float, value: str | None = None) -> list[Told]:
    return [Told(seconds=one, value=value) for one in seconds]


@pytest.mark.parametrize(
    ("due", "told", "delays", "missed", "early", "late", "invented"),
    [
        ((), (), (), 0, 0, 0, 0),
        ((10,), (), (), 1, 0, 0, 0),
        ((), (3, 4), (), 0, 0, 0, 2),
        ((10,), (10,), (0,), 0, 0, 0, 0),
        ((10,), (12,), (2,), 0, 0, 0, 0),
        ((10,), (12.5,), (), 1, 0, 1, 0),
        ((10,), (9,), (), 1, 1, 0, 0),  # before it was true, nobody knew
        ((10,), (10, 11), (0,), 0, 0, 0, 1),  # told twice
        ((10, 11), (11, 12), (1, 1), 0, 0, 0, 0),
        ((10, 11), (12,), (2,), 1, 0, 0, 0),
        ((10, 20), (9, 20), (0,), 1, 1, 0, 0),
        ((10, 30), (15, 26), (), 2, 1, 1, 0),
    ],
)
def test_by_hand(due, told, delays, missed, early, late, invented):
    found = match_events(at(*due), at(*told))
    assert found.delays_seconds == delays
    assert (found.num_missed, found.num_early, found.num_late, found.num_invented) == (
        missed,
        early,
        late,
        invented,
    )


def test_a_pair_says_the_same_unless_only_its_time_counts():
    due = [Told(seconds=5, value="left"), Told(seconds=6, value="top")]
    assert match_events(due, at(6, value="top")).num_right == 1
    assert match_events(due, at(5, 6, value="right")).num_false == 2
    assert match_events(due, at(5, 6)).num_right == 2


@pytest.mark.parametrize(
    ("due", "optional", "told", "missed", "false"),
    [
        ((), (5,), (), 0, 0),
        ((), (5,), (6,), 0, 0),
        ((), (5,), (4, 6, 7), 0, 2),  # once, and not before it was so
        ((6,), (5,), (6,), 0, 0),  # what is due comes first
        ((9,), (5,), (6,), 1, 0),
    ],
)
def test_what_need_not_be_told_is_neither_missed_nor_false(due, optional, told, missed, false):
    found = match_events(at(*due), at(*told), optional=at(*optional))
    assert (found.num_missed, found.num_false) == (missed, false)


@given(MOMENTS, MOMENTS)
def test_no_other_pairing_has_more_pairs(due, told):
    found = match_events(at(*due), at(*told))
    short, long = sorted((due, told), key=len)
    sign = 1 if short is told else -1
    most = max(
        sum(0 <= sign * (one - other) <= 2 for one, other in zip(short, tried, strict=False))
        for tried in permutations(long)
    )
    assert found.num_right == most
    assert found.num_right + found.num_missed == len(due)
    assert found.num_right + found.num_false == len(told)
