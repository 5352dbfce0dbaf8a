"""Who takes which streams, decided alike by everyone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hermes_stream.service.ownership.placement import Load, least_loaded, num_replicas_wanted, num_to_claim


def load(id: int, num_streams: int, more_streams: int) -> Load:
    return Load(id=id, num_streams=num_streams, more_streams=more_streams)


LOADS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8).map(
    lambda pairs: [load(id, *pair) for id, pair in enumerate(pairs)]
)


@given(LOADS, st.integers(0, 100))
def test_all_orphans_that_fit_are_claimed_once_and_the_emptiest_fill_first(loads, num_orphans):
    claims = [num_to_claim(loads, one.id, num_orphans) for one in loads]
    assert sum(claims) == min(num_orphans, sum(one.more_streams for one in loads))
    assert all(claim <= one.more_streams for claim, one in zip(claims, loads, strict=True))
    filled = [one.num_streams + claim for claim, one in zip(claims, loads, strict=True)]
    for one, claim, full in zip(loads, claims, filled, strict=True):
        if claim:  # whoever has room left has no fewer by more than one
            assert all(
                full - 1 <= other_full
                for other, other_claim, other_full in zip(loads, claims, filled, strict=True)
                if other.more_streams > other_claim
            ), (one, loads)


def test_a_new_stream_goes_where_fewest_are_and_room_is():
    assert least_loaded([load(1, 3, 5), load(2, 0, 0), load(3, 2, 1)]).id == 3
    assert least_loaded([load(1, 3, 0)]) is None


def test_replicas_are_wanted_by_what_they_hold():
    loads = [load(1, 8, 2), load(2, 8, 2)]
    assert num_replicas_wanted(loads, fewest=1, most=9) == 2
    assert num_replicas_wanted(loads, fewest=1, most=9, num_waiting=4) == 3
    assert num_replicas_wanted([load(1, 0, 10), load(2, 0, 10)], fewest=1, most=9) == 1
    assert num_replicas_wanted([], fewest=2, most=9) == 2
    assert num_replicas_wanted([load(1, 5, 0)], fewest=1, most=9, num_waiting=50) == 9
