"""Decisions as values, against what their words say, on any looks at a stream."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hermes_stream.stream.watches.decisions import (
    AlertState,
    ChoiceState,
    NewnessState,
    decide_alert,
    decide_choice,
    decide_newness,
)
from hermes_stream.stream.watches.sending import SendingState, decide_sending

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)
HOLDS = st.integers(0, 5)
THRESHOLDS = st.tuples(st.floats(0.01, 1), st.floats(0, 1)).map(lambda two: (max(two), min(two)))


def alerts(scores: list[float], **rules: float) -> list[AlertState]:
    state, found = AlertState(), []
    for second, score in enumerate(scores):
        state = decide_alert(state, seconds=float(second), score=score, **rules)
        found.append(state)
    return found


@given(SCORES, THRESHOLDS, HOLDS)
def test_an_alert_is_raised_only_after_it_held_and_cleared_only_by_a_low_score(scores, thresholds, hold):
    raise_at, clear_at = thresholds
    found = alerts(scores, raise_at=raise_at, clear_at=clear_at, hold_seconds=hold)
    for i, state in enumerate(found):
        was_raised = i > 0 and found[i - 1].is_raised
        if state.is_raised and not was_raised:
            assert i >= hold
            assert all(score >= raise_at for score in scores[i - hold : i + 1])
            assert i - state.since_seconds >= hold
        if was_raised and not state.is_raised:
            assert scores[i] <= clear_at


@given(SCORES, THRESHOLDS, HOLDS)
def test_an_alert_misses_nothing_that_holds(scores, thresholds, hold):
    raise_at, clear_at = thresholds
    found = alerts(scores, raise_at=raise_at, clear_at=clear_at, hold_seconds=hold)
    for i in range(hold, len(scores)):
        if all(score >= raise_at for score in scores[i - hold : i + 1]):
            assert found[i].is_raised
        if scores[i] <= clear_at and scores[i] < raise_at:
            assert not found[i].is_raised


@given(st.floats(0, 1), st.integers(1, 20))
def test_a_score_that_stays_never_flips_an_alert_twice(score, num_looks):
    found = alerts([score] * num_looks, raise_at=0.5, clear_at=0.5, hold_seconds=0)
    assert len({state.is_raised for state in found}) == 1


CHOICES = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def choices(chosen: list[int], hold: int, *, only_rises: bool = False) -> list[int | None]:
    state, found = ChoiceState(choice=0 if only_rises else None), []
    for second, one in enumerate(chosen):
        scores = tuple(0.7 if index == one else 0.1 for index in range(4))
        state = decide_choice(
            state,
            seconds=float(second),
            scores=scores,
            raise_at=0.5,
            hold_seconds=hold,
            only_rises=only_rises,
        )
        found.append(state.choice)
    return found


@given(CHOICES, HOLDS)
def test_an_option_holds_once_it_was_chosen_for_long_enough(chosen, hold):
    found = choices(chosen, hold)
    before = None
    for i, holds in enumerate(found):
        if holds != before:
            assert set(chosen[i - hold : i + 1]) == {holds}
        elif i >= hold and len(set(chosen[i - hold : i + 1])) == 1:
            assert holds == chosen[i]
        before = holds


@given(CHOICES)
def test_counts_never_fall_and_reach_the_largest(chosen):
    found = choices(chosen, 0, only_rises=True)
    assert found == sorted(found)
    assert found[-1] == max(chosen)


def test_an_option_that_is_not_likely_enough_changes_nothing():
    state = ChoiceState(choice=1)
    given_scores = {"scores": (0.4, 0.3, 0.3), "raise_at": 0.5, "hold_seconds": 0.0}
    assert decide_choice(state, seconds=3.0, **given_scores) == state


@given(st.lists(st.floats(0, 1), min_size=1, max_size=400), st.floats(0, 0.99))
def test_newness_is_bounded_and_judged_by_the_stream_itself(values, quantile):
    state = NewnessState()
    for value in values:
        past = state.newest
        state = decide_newness(state, newness=value, quantile=quantile)
        if state.is_new and len(past) >= 8 and quantile > 0:
            assert sum(one < value for one in past) >= int(quantile * len(past))
        assert len(state.newest) <= 256


@given(
    st.lists(st.floats(0.1, 2000), min_size=1, max_size=60),
    st.floats(0, 1000),
    st.one_of(st.none(), st.integers(1, 4)),
    st.booleans(),
)
def test_what_is_sent_keeps_its_distance_and_its_number(pauses, cooldown, limit, is_scheduled):
    state, seconds, sent = SendingState(snoozed_until_seconds=500.0), 0.0, []
    for pause in pauses:
        seconds += pause
        state, reason = decide_sending(
            state,
            seconds=seconds,
            cooldown_seconds=cooldown,
            max_per_hour=limit,
            is_scheduled=is_scheduled,
        )
        if reason is None:
            sent.append(seconds)
        assert reason != "cooldown" or seconds - sent[-1] < cooldown
        assert len(state.sent_seconds) <= (limit or 1) + 1
    assert is_scheduled or not sent
    assert all(one >= 500 for one in sent)
    assert all(later - one >= cooldown for one, later in pairwise(sent))
    if limit is not None:
        assert all(sum(0 <= later - one < 3600 for later in sent) <= limit for one in sent)


def test_what_was_sent_over_an_hour_ago_is_forgotten():
    rules = {"cooldown_seconds": 0.0, "max_per_hour": 2}
    state = SendingState(sent_seconds=(0.0, 400.0))
    assert decide_sending(state, seconds=3599.0, **rules) == (state, "max_per_hour")
    assert decide_sending(state, seconds=3600.0, **rules)[0].sent_seconds == (400.0, 3600.0)


def test_silence_counts_from_the_last_that_was_sent():
    state = SendingState(sent_seconds=(0.0, 100.0))
    assert decide_sending(state, seconds=120.0, cooldown_seconds=50.0, max_per_hour=9) == (state, "cooldown")
