"""Where a stream is cut into chapters."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hermes_stream.digest.chapters import Beginning, choose_beginnings, usual_newness


def beginnings(*pairs):
    return [Beginning(seconds=seconds, newness=newness) for seconds, newness in pairs]


def chosen(candidates, **options):
    given = {"from_seconds": 0.0, "to_seconds": 100.0, "min_chapter_seconds": 10.0, **options}
    return [one.seconds for one in choose_beginnings(candidates, **given)]


def test_the_newest_moments_begin_chapters_and_keep_apart():
    candidates = beginnings((20, 0.5), (25, 0.9), (60, 0.3), (95, 0.99), (5, 0.8))
    assert chosen(candidates) == [25, 60]
    assert chosen(candidates, max_chapters=2) == [25]
    assert chosen(candidates, at_least=0.4) == [25]
    assert chosen(candidates, min_chapter_seconds=5.0) == [5, 20, 25, 60, 95][:5]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=30),
    st.integers(1, 8),
    st.floats(0.5, 40),
)
def test_chapters_are_as_long_and_as_few_as_asked_for(pairs, most, shortest):
    found = chosen(beginnings(*pairs), max_chapters=most, min_chapter_seconds=shortest)
    borders = [0.0, *found, 100.0]
    assert len(found) < most
    assert found == sorted(found)
    assert not found or min(b - a for a, b in pairwise(borders)) >= shortest


def test_noise_of_a_still_scene_begins_nothing_and_what_stands_out_does():
    still = [0.010, 0.012, 0.009, 0.011, 0.010, 0.013]
    assert max(still) < usual_newness(still)
    assert usual_newness([*still * 3, 0.3]) < 0.3
    busy = [0.01, 0.1, 0.12, 0.01, 0.01, 0.11, 0.3, 0.01]
    assert 0.05 < usual_newness(busy) < 0.3
    assert usual_newness([]) == 0.0


def test_chapters_touch_what_was_asked_for_exactly():
    assert chosen(beginnings((10, 0.5), (90, 0.4), (20, 0.3)), at_least=0.3) == [10, 20, 90]
    assert chosen(beginnings((44, 0.5), (40, 0.5))) == [40], "of equally new moments the first"
