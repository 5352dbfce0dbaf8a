"""Which changes of place a watch must tell: who looks once a second, at any of the pictures, tells them."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_lab.evaluation.event_matching import Told, match_events
from hermes_lab.evaluation.watched_events import as_told
from hermes_stream.synthetic.happenings import changes_of_place


def places(text: str, *, fps: int) -> list[tuple[float, str]]:
    """A letter a picture; a dot where nothing shows."""
    return [(number / fps, place) for number, place in enumerate(text) if place != "."]


def told_by_looks(seen: list[tuple[float, str]], *, fps: int, first: int) -> list[Told]:
    """What is told by who looks at one picture a second."""
    looks = [(seconds, place) for seconds, place in seen if round(seconds * fps) % fps == first]
    runs = [next(run) for _, run in groupby(looks, key=lambda one: one[1])]
    return [Told(seconds=seconds, value=place) for seconds, place in runs[1:]]


@pytest.mark.parametrize(
    ("text", "fps", "due", "brief"),
    [
        ("", 4, [], []),
        ("aaaa", 4, [], []),
        ("ab", 1, [(1, "b")], []),
        ("aabb", 2, [(1, "b")], []),
        ("aab", 2, [], [(1, "b")]),  # gone within the second
        ("aaaabaaaa", 4, [], [(1, "b"), (1.25, "a")]),  # may be told, and back again
        ("aaaabcccc", 4, [(1.25, "c")], [(1, "b")]),
        ("abbbb", 4, [], [(0.25, "b")]),  # perhaps the first that was seen
        ("aaaabcbbbb", 4, [], [(1, "b"), (1.25, "c"), (1.5, "b")]),  # perhaps told already
        ("aa..bb", 2, [(2, "b")], []),
        ("aa..aa", 2, [], []),  # it comes again where it was
        ("aab..b", 2, [], [(1, "b"), (2.5, "b")]),  # a picture before it left, and one when it came again
        ("aab..bb", 2, [], [(1, "b"), (2.5, "b")]),
    ],
)
def test_by_hand(text, fps, due, brief):
    found = changes_of_place(places(text, fps=fps), picture_seconds=1 / fps)
    assert [[(one.seconds, one.value) for one in own] for own in found] == [due, brief]


@given(st.text("abc.", max_size=60), st.sampled_from([1, 2, 4]), st.integers(0, 3))
def test_who_looks_once_a_second_misses_nothing_and_tells_nothing_false(text, fps, first):
    seen = places(text, fps=fps)
    due, brief = changes_of_place(seen, picture_seconds=1 / fps)
    told = told_by_looks(seen, fps=fps, first=first % fps)
    found = match_events(as_told(due), told, optional=as_told(brief))
    assert (found.num_missed, found.num_false) == (0, 0)


@given(st.text("abc.", max_size=40))
def test_at_a_picture_a_second_every_change_is_due(text):
    seen = places(text, fps=1)
    due, brief = changes_of_place(seen, picture_seconds=1.0)
    changes = [place for place, _ in groupby(place for _, place in seen)]
    assert not brief
    assert [one.value for one in due] == changes[1:]
