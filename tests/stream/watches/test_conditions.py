"""Alerts and states put together from several questions, shown scores that no model made."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hermes_stream.stream.watches import Watch, WatchRules, restore_watch, saved_watch
from hermes_stream.stream.watches.likeness import SeenPicture


def watch_of(*, answers: tuple[str, ...] = ("yes", "no"), **rules) -> Watch:
    made = WatchRules(question="is it?", **rules)
    return Watch(made, None, answers, on_event=None, leave=lambda _: None)


def logs(*shares: float) -> tuple[float, ...]:
    return tuple(math.log(share) for share in shares)


def see(watch: Watch, looks: list[tuple[float, ...]]) -> list[tuple[str, float]]:
    """Show how likely yes is to each question, second by second; return what there was to say."""
    found = []
    for second, (own, *others) in enumerate(looks):
        beside = [logs(one, 1 - one) for one in others]
        event = watch.see_scores(float(second), logs(own, 1 - own), is_scheduled=True, conditions=beside)
        if event is not None:
            found.append((event.kind, event.stream_seconds))
    return found


def test_all_must_be_yes_at_once_and_the_score_is_the_least():
    watch = watch_of(also=["and this?"])
    assert see(watch, [(0.95, 0.2), (0.2, 0.95), (0.95, 0.92)]) == [("raised", 2.0)]
    assert watch.score == pytest.approx(0.92)
    assert see(watch, [(0.95, 0.3)]) == [("cleared", 0.0)]


def test_what_is_given_must_have_been_so_before_yes_began():
    watch = watch_of(given="was it there?")
    # at the first look nobody knows what was before
    assert see(watch, [(0.95, 0.9), (0.95, 0.9)]) == []
    assert see(watch, [(0.05, 0.1), (0.95, 0.9), (0.95, 0.9)]) == []
    assert see(watch, [(0.05, 0.9), (0.95, 0.1), (0.05, 0.9), (0.95, 0.9)]) == [
        ("raised", 1.0),
        ("cleared", 2.0),
        ("raised", 3.0),
    ]


def test_what_was_given_once_stays_given_where_that_is_kept():
    looks = [(0.05, 0.9), (0.05, 0.1), (0.95, 0.1)]
    assert see(watch_of(given="was it there?"), looks) == []
    kept = watch_of(given="was it there?", keeps_given=True)
    assert see(kept, looks) == [("raised", 2.0)]
    # also after it was raised and cleared
    assert see(kept, [(0.05, 0.1), (0.95, 0.1)]) == [("cleared", 0.0), ("raised", 1.0)]
    assert see(watch_of(given="was it there?", keeps_given=True), [(0.05, 0.1), (0.95, 0.9)]) == []


def test_yes_begins_at_its_onset_alone_and_goes_on_without():
    watch = watch_of(onset="did it come?")
    assert see(watch, [(0.95, 0.2), (0.95, 0.9), (0.95, 0.1)]) == [("raised", 1.0)]
    assert watch.score == pytest.approx(0.95)
    assert see(watch, [(0.05, 0.1), (0.95, 0.2)]) == [("cleared", 0.0)]
    held = watch_of(onset="did it come?", hold_seconds=1)
    assert see(held, [(0.95, 0.9), (0.95, 0.1)]) == [("raised", 1.0)]


def test_an_onset_stands_behind_what_is_given_and_what_must_be_so_too():
    watch = watch_of(also=("and this?",), given="was it there?", onset="did it come?")
    assert watch.rules.conditions == ("and this?", "was it there?", "did it come?")
    assert see(watch, [(0.05, 0.95, 0.9, 0.1), (0.95, 0.95, 0.9, 0.1), (0.95, 0.95, 0.1, 0.9)]) == [
        ("raised", 2.0)
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("calibrate", ["none", "start"])
def test_an_onset_decides_nothing_where_yes_might_not_begin(seed, calibrate):
    rng = np.random.default_rng(seed)
    rules = {
        "also": ("and this?",),
        "given": "was it there?",
        "onset": "did it come?",
        "calibrate": calibrate,
    }
    rules |= {
        "hold_seconds": float(rng.integers(3)),
        "keeps_given": bool(rng.random() < 0.5),
        "raise_at": 0.6,
    }
    always, where_needed = watch_of(**rules), watch_of(**rules)
    num_asked = 0
    for second in range(300):
        # yes comes and goes, each for some seconds
        shares = rng.uniform(0.05, 0.95, size=4) ** [1, 0.2, 1, 1]
        shares[0] = (2 * (second // 8 % 2) + shares[0]) / 3
        own, *beside = (logs(share, 1 - share) for share in shares)
        is_needed = where_needed.might_begin(own, beside[:-1])
        num_asked += is_needed
        told = [
            watch.see_scores(float(second), own, is_scheduled=True, conditions=conditions)
            for watch, conditions in ((always, beside), (where_needed, beside if is_needed else beside[:-1]))
        ]
        assert told[0] == told[1]
        assert saved_watch(always) == saved_watch(where_needed)
    assert always.num_incidents > 3
    assert num_asked < 200


def test_the_time_that_is_told_is_counted_also_over_a_restart():
    watch = watch_of(nth=2)
    see(watch, [(0.95,), (0.05,)])
    assert watch.stats.num_suppressed == {"not_nth": 1, "not_raised": 1}
    other = watch_of(nth=2)
    restore_watch(other, saved_watch(watch))
    events = [
        other.see_scores(float(second), logs(share, 1 - share), is_scheduled=True)
        for second, share in enumerate([0.95, 0.05, 0.95])
    ]
    assert [event and event.suppressed for event in events] == [None, None, "not_nth"]
    assert [event and event.incident for event in events] == [2, 2, 3]


def test_what_was_given_is_known_after_a_restart():
    watch = watch_of(given="was it there?")
    see(watch, [(0.05, 0.9)])
    other = watch_of(given="was it there?")
    restore_watch(other, saved_watch(watch))
    assert see(other, [(0.95, 0.9)]) == [("raised", 0.0)]


def test_an_alert_with_options_is_raised_while_its_answer_is_chosen():
    watch = watch_of(answers=("open", "closed", "gone"), options=("open", "closed", "gone"), answer="closed")
    events = [
        watch.see_scores(float(second), logs(*shares), is_scheduled=True)
        for second, shares in enumerate([(0.8, 0.1, 0.1), (0.2, 0.6, 0.2), (0.1, 0.1, 0.8)])
    ]
    assert [event and event.kind for event in events] == [None, "raised", "cleared"]


def state_with_also() -> Watch:
    places = ("left", "right")
    return watch_of(kind="state", answers=places, options=places, also=("is it there?",))


def test_a_state_stays_as_it_is_until_what_must_be_so_surely_is():
    looks = [(0.9, 0.95), (0.1, 0.4), (0.1, 0.6), (0.1, 0.95)]
    assert see(state_with_also(), looks) == [("changed", 3.0)]
    # nor does it begin before
    unsure = state_with_also()
    assert see(unsure, [(0.9, 0.6)]) == []
    assert unsure.value is None


def test_a_state_goes_on_while_what_surely_was_so_is_likelier_than_not():
    assert see(state_with_also(), [(0.9, 0.95), (0.1, 0.6)]) == [("changed", 1.0)]


@pytest.mark.parametrize(("besides", "told"), [(0.6, [("changed", 0.0)]), (0.4, [])])
def test_that_it_was_surely_so_is_known_after_a_restart(besides, told):
    before, after = state_with_also(), state_with_also()
    see(before, [(0.9, 0.95)])
    restore_watch(after, saved_watch(before))
    assert see(after, [(0.1, besides)]) == told


def test_how_sure_an_alert_must_be_depends_on_what_it_asks():
    assert WatchRules(question="is it?").raises_at == 0.9
    assert WatchRules(question="is it?", raise_at=0.6).raises_at == 0.6
    assert WatchRules(question="which?", options=("a", "b"), answer="a").raises_at == 0.5
    assert WatchRules(question="which?", kind="state", options=("a", "b")).raises_at == 0.5


def test_yes_clears_where_it_is_less_likely_than_not_unless_told():
    assert WatchRules(question="is it?").clears_at == 0.5
    assert WatchRules(question="is it?", raise_at=0.8).clears_at == 0.5
    assert WatchRules(question="is it?", raise_at=0.3).clears_at == 0.3
    assert WatchRules(question="is it?", clear_at=0).clears_at == 0
    assert WatchRules(question="which?", options=("a", "b"), answer="a").clears_at == 0.5


def test_what_the_model_is_told_besides():
    rules = WatchRules(question="is a car there?", context="Parked cars are normal.", also=("is it day?",))
    assert rules.worded(rules.question) == "Parked cars are normal. is a car there?"
    german = WatchRules(question="Ist ein Auto da?", language="German")
    assert german.worded(german.question) == "Ist ein Auto da? Answer with yes or no."
    told = WatchRules(question="What is new?", kind="describe", language="German")
    assert told.worded(told.question) == "What is new? Answer in German."


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"answer": "a"}, "takes no options without the answer"),
        ({"options": ("a", "b"), "answer": "c"}, "answer must be one of a, b; got 'c'"),
        ({"kind": "state", "options": ("a", "b"), "answer": "a"}, "answer belongs to an alert"),
        ({"also": "is it?"}, "also must be a list of at most 7"),
        ({"also": ("is it?",) * 8}, "also must be a list of at most 7"),
        ({"also": ("",)}, "a question must be a non-empty text"),
        ({"kind": "count", "also": ("is it?",)}, "also belongs to an alert or a state"),
        ({"kind": "count", "given": "is it?"}, "given belongs to an alert"),
        ({"kind": "count", "onset": "is it?"}, "onset belongs to an alert"),
        ({"kind": "count", "nth": 2}, "nth belongs to an alert"),
        ({"nth": 0}, "nth must be a whole number of at least 1"),
        ({"keeps_given": True}, "keeps_given belongs to a question that must be given"),
        ({"given": " "}, "a question must be a non-empty text"),
        ({"context": ""}, "context must be a non-empty text"),
        ({"language": 3}, "language must be a non-empty text"),
        ({"group_above": 2}, "group_above must be from 0 to 1"),
        ({"kind": "count", "group_above": 0.5}, "group_above belongs to an alert"),
        ({"kind": "describe", "region": [[0, 0], [1, 0], [1, 1]]}, "takes no region"),
    ],
)
def test_rules_that_contradict_are_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        WatchRules(question="is it?", **fields)


def test_only_pictures_that_were_sent_are_compared():
    watch = watch_of(raise_at=0.5, clear_at=0.4, group_above=0.9, cooldown_seconds=3)
    one, other = (SeenPicture(places=torch.tensor([0]), keys=torch.eye(2)[k : k + 1]) for k in (0, 1))
    reasons = []
    for second, (share, shown) in enumerate([(0.9, one), (0.1, one), (0.9, other), (0.1, one), (0.9, other)]):
        scores = logs(share, 1 - share)
        event = watch.see_scores(float(second), scores, is_scheduled=True, picture=lambda shown=shown: shown)
        reasons += [event.suppressed] if event.kind == "raised" else []
    assert reasons == [None, "cooldown", None]
