"""What an event of a watch is judged as."""

from __future__ import annotations

import pytest

from hermes_lab.evaluation.watched_events import _has_truth, _value
from hermes_stream.stream.watches import WatchEvent
from hermes_stream.synthetic.happenings import Happening
from hermes_stream.synthetic.watch_truths import WatchTruth


def raised(incident: int) -> WatchEvent:
    return WatchEvent(
        kind="raised",
        watch="w",
        question="is it?",
        stream_seconds=1.0,
        incident=incident,
        value="yes",
        value_before="no",
        score=0.9,
        since_seconds=1.0,
        suppressed=None,
    )


def truth(*values: str | None) -> WatchTruth:
    happenings = tuple(Happening(seconds=float(k), value=value) for k, value in enumerate(values))
    return WatchTruth(name="w", condition="count", question="is it?", happenings=happenings)


@pytest.mark.parametrize(("incident", "value"), [(1, "one"), (9, "nine")])
def test_comings_that_are_counted_say_how_many(incident: int, value: str) -> None:
    assert _has_truth(truth("one", "two"), raised(incident))
    assert _value(truth("one", "two"), raised(incident)) == value


def test_a_coming_that_there_is_no_word_for_is_not_judged() -> None:
    assert not _has_truth(truth("one", "two"), raised(10))


def test_what_is_not_counted_is_judged_however_often_it_comes() -> None:
    for own in (truth(), truth(None)):
        assert _has_truth(own, raised(10))
        assert _value(own, raised(10)) is None
