"""Questions about a world: every kind, spread over the stream, as true as the world says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hermes_stream.synthetic.planning import FIRST_SECOND, plan_questions
from hermes_stream.synthetic.questions import QUESTION_KINDS
from hermes_stream.synthetic.world import Pace, generate_world


def questions(seed=0, *, duration_seconds=48, num_questions=40):
    return plan_questions(generate_world(seed, duration_seconds), num_questions=num_questions, seed=0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("num_questions", [40, 43, 100])
def test_every_kind_is_asked_as_often_as_the_others(seed, num_questions):
    counts = Counter(one.kind for one in questions(seed, num_questions=num_questions))
    assert set(counts) == set(QUESTION_KINDS)
    assert max(counts.values()) - min(counts.values()) <= (num_questions % 10 > 0)


@pytest.mark.parametrize("seed", range(4))
def test_moments_are_whole_seconds_spread_over_the_stream(seed):
    times = [one.asked_seconds for one in questions(seed)]
    assert all(time == int(time) for time in times)
    assert times == sorted(times)
    assert times[0] >= FIRST_SECOND
    assert times[-1] == 47
    assert np.diff(times).max() <= 2
    half = sum(time < 25 for time in times)
    assert 18 <= half <= 22


@pytest.mark.parametrize("num_questions", [40, 150])
def test_nothing_is_asked_twice_at_one_moment(num_questions):
    asked = [(one.asked_seconds, one.text) for one in questions(3, num_questions=num_questions)]
    assert len(set(asked)) == num_questions


def test_questions_may_begin_later():
    world = generate_world(3, 48)
    times = [q.asked_seconds for q in plan_questions(world, num_questions=40, seed=3, from_second=16)]
    assert len(times) == 40
    assert times == sorted(times)
    assert (min(times), max(times)) == (16, 47)


def test_kinds_without_moments_leave_their_share_to_the_others():
    empty = generate_world(0, 30, pace=Pace(stay_seconds=(1, 1), entry_seconds=(29, 29)))
    counts = Counter(one.kind for one in plan_questions(empty, num_questions=56, seed=0))
    assert counts["now_moving"] == counts["before"] == 0
    assert abs(counts["first"] - counts["counting"]) <= 1
    assert counts.total() == 56


def test_seed_and_world_decide():
    world = generate_world(5, 30)
    first = plan_questions(world, num_questions=20, seed=1)
    assert first == plan_questions(world, num_questions=20, seed=1)
    assert first != plan_questions(world, num_questions=20, seed=2)
    assert first != plan_questions(generate_world(6, 30), num_questions=20, seed=1)


@pytest.mark.parametrize("duration_seconds", [3, 2.5, 47.5])
def test_no_question_after_the_last_whole_second(duration_seconds):
    times = [one.asked_seconds for one in questions(1, duration_seconds=duration_seconds, num_questions=1)]
    assert times == [np.ceil(duration_seconds) - 1]


@pytest.mark.parametrize(
    ("duration_seconds", "num_questions", "words"),
    [
        (2, 1, "longer than 2 s"),
        (30, 0, "at least 1"),
        (4, 40, "ask for fewer"),
        (4, 10_000, "ask for fewer"),
    ],
)
def test_more_than_there_is_to_ask(duration_seconds, num_questions, words):
    with pytest.raises(ValueError, match=words):
        questions(duration_seconds=duration_seconds, num_questions=num_questions)


def test_a_long_story_with_many_questions():
    assert len(questions(1, duration_seconds=600, num_questions=150)) == 150
