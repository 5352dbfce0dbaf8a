"""Kinds beyond the ten: yes or no for standing questions, and what was never shown."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hermes_stream.synthetic.moment import share_a_trait
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.questions import (
    ALL_KINDS,
    FURTHER_GROUPS,
    FURTHER_KINDS,
    KIND_GROUPS,
    QUESTION_KINDS,
    ask_at,
    kinds_named,
)
from hermes_stream.synthetic.standing_questions import spoken_seconds
from hermes_stream.synthetic.world import REGIONS, SHAPES, THINGS, Pace, generate_world

SECONDS = 40
FEW = Pace(cast_shapes=3)


def asked_at(seed, second, kind, since=None, pace=None):
    rng = np.random.default_rng([seed, second])
    return ask_at(generate_world(seed, SECONDS, pace=pace), second, kind, rng, since_seconds=since)


def all_asked(kind, num_worlds=60, pace=None):
    for seed in range(num_worlds):
        for second in range(1, SECONDS, 3):
            question = asked_at(seed, second, kind, since=second - 1 - seed % second, pace=pace)
            if question:
                yield generate_world(seed, SECONDS, pace=pace), second, question


def came_before(world, until, after=-1):
    """Read what came, in order, off the screen of every second."""
    came = []
    for second in range(until + 1):
        came += [a for a in world.on_screen(second) if a not in came]
    return [a for a in came if a.enters_seconds > after]


def thing_in(text):
    return next(thing for thing in THINGS if str(thing) in text)


def test_is_there_now_is_what_shows_now():
    answers, empty = Counter(), Counter()
    for world, second, question in all_asked("is_there_now"):
        shown = {a.thing for a in world.on_screen(second)}
        assert question.text == f"is there a {thing_in(question.text)} now?"
        assert question.answer == ("yes" if thing_in(question.text) in shown else "no")
        assert sorted(question.options) == ["no", "yes"]
        assert bool(question.evidence) == (question.answer == "yes")
        answers[question.answer] += 1
        empty[not shown] += 1
    assert 0.45 < answers["yes"] / answers.total() < 0.55
    assert 0.05 < empty[True] / empty.total() < 0.4


def test_its_noes_are_things_that_were_there_or_are_like_what_is():
    earlier = Counter()
    for world, second, question in all_asked("is_there_now"):
        thing, shown = thing_in(question.text), world.on_screen(second)
        if question.answer == "no" and shown:
            was_there = thing in {a.thing for a in world.seen(second)}
            is_like = any(thing.colour == a.thing.colour or thing.shape == a.thing.shape for a in shown)
            assert was_there or is_like
            earlier[was_there] += 1
    assert 0.3 < earlier[True] / earlier.total() < 0.9


@pytest.mark.parametrize("kind", ["is_there_now", "came_since"])
def test_most_noes_are_things_that_were_there_and_are_like_what_is_where_there_are_such(kind):
    asked = Counter()
    for world, second, question in all_asked(kind):
        if question.answer == "yes":
            continue
        if kind == "is_there_now":
            new = {a.thing for a in world.on_screen(second)}
        else:
            new = {a.thing for a in came_before(world, second, after=int(question.since_seconds))}
        earlier = {a.thing for a in world.seen(second)} - new
        both = {one for one in earlier if any(share_a_trait(one, other) for other in new)}
        if both:
            asked[thing_in(question.text) in both] += 1
    assert asked[True] > 0.5 * asked.total()


def test_came_since_counts_from_the_last_answer():
    answers = Counter()
    for world, second, question in all_asked("came_since"):
        since = int(question.since_seconds)
        came = {a.thing for a in came_before(world, second, after=since)}
        assert question.answer == ("yes" if thing_in(question.text) in came else "no")
        told = f"did a {thing_in(question.text)} come since you last answered"
        assert question.text == f"{told} {spoken_seconds(second - since)} ago?"
        answers[question.answer] += 1
        answers["earlier", question.answer] += thing_in(question.text) in {
            a.thing for a in came_before(world, since)
        }
    assert 0.45 < answers["yes"] / (answers["yes"] + answers["no"]) < 0.55
    assert answers["earlier", "no"] > 0.3 * answers["no"]
    assert answers["earlier", "yes"] > 0


def test_came_since_needs_a_last_answer_that_was_not_too_long_ago():
    for since in (None, 20, 21):
        assert all(asked_at(seed, 20, "came_since", since) is None for seed in range(20))
    world = generate_world(1, 200)
    rng = np.random.default_rng(0)
    assert all(ask_at(world, 199, "came_since", rng, since_seconds=130) is None for _ in range(20))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "one second"), (9, "nine seconds"), (13, "thirteen seconds"), (20, "twenty seconds"),
     (42, "forty two seconds"), (59, "fifty nine seconds")],
)  # fmt: skip
def test_seconds_are_spoken(seconds, words):
    assert spoken_seconds(seconds) == words


@pytest.mark.parametrize("seconds", [0, 60])
def test_other_numbers_of_seconds_are_not_spoken(seconds):
    with pytest.raises(ValueError, match=f"from 1 to 59, got {seconds}"):
        spoken_seconds(seconds)


def named(things, text):
    """Return which of the things a text names: the only one, the first or the last of its name."""
    of_name = [i for i, a in enumerate(things) if str(a.thing) in text]
    if not of_name:
        return None
    assert len(of_name) == 1 or "first" in text or "last" in text
    return of_name[-1 if "last" in text else 0]


@pytest.mark.parametrize("kind", ["place_seen", "place_not_seen"])
def test_places_are_those_of_entrances(kind):
    for world, second, question in all_asked(kind):
        came = came_before(world, second)
        i = named(came, question.text)
        assert (i is None) == (kind == "place_not_seen")
        place = "not seen" if i is None else REGIONS[came[i].cell_at(came[i].enters_seconds)]
        assert question.answer == place
        assert set(question.options) - {"not seen"} <= set(REGIONS)


@pytest.mark.parametrize("kind", ["order_seen", "order_not_seen"])
def test_order_is_that_of_the_story(kind):
    for world, second, question in all_asked(kind):
        came = came_before(world, second)
        i = named(came, question.text)
        assert (i is None) == (kind == "order_not_seen")
        if i is None:
            assert question.answer == "not seen"
        else:
            step = -1 if "before" in question.text else 1
            assert question.answer == str(came[i + step].thing)
        assert not any(option in question.text for option in question.options)


@pytest.mark.parametrize("kind", ["colour_seen", "colour_not_seen"])
def test_colours_are_those_of_the_shape(kind):
    num_asked = 0
    for world, second, question in all_asked(kind, pace=FEW):
        shape = next(shape for shape in SHAPES if shape in question.text)
        alike = [a.thing.colour for a in came_before(world, second) if a.thing.shape == shape]
        assert bool(alike) == (kind == "colour_seen")
        truth = alike[-1 if "last" in question.text else 0] if alike else "not seen"
        assert question.answer == truth
        num_asked += 1
    assert num_asked > 300


@pytest.mark.parametrize("name", ["colour", "place", "order"])
def test_nothing_but_the_story_tells_seen_from_never_shown(name):
    """Words before the thing, number of options and how alike they are say the same in both."""
    forms, likeness = {}, {}
    for kind in (f"{name}_seen", f"{name}_not_seen"):
        asked = [question for _, _, question in all_asked(kind, pace=FEW)]
        assert all(question.options.count("not seen") == 1 for question in asked)
        assert all(len(set(question.options)) == 4 for question in asked)
        places = Counter(question.options.index("not seen") for question in asked)
        assert max(places.values()) < 0.35 * len(asked)
        forms[kind] = {tuple(word for word in q.text.split() if word in ("first", "last")) for q in asked}
        words = [[w for o in q.options if o != "not seen" for w in o.split()] for q in asked]
        likeness[kind] = np.mean([len(own) - len(set(own)) for own in words])
    seen, unseen = forms
    assert forms[seen] == forms[unseen]
    assert abs(likeness[seen] - likeness[unseen]) < 0.15


def test_kinds_are_planned_as_often_as_each_other_and_count_from_the_question_before():
    for seed in range(3):
        world = generate_world(seed, 48, pace=FEW)
        asked = plan_questions(world, num_questions=54, seed=seed, kinds=tuple(ALL_KINDS))
        counts = Counter(one.kind for one in asked)
        assert set(counts) == set(ALL_KINDS)
        assert max(counts.values()) - min(counts.values()) <= 1
        times = sorted({one.asked_seconds for one in asked})
        for one in asked:
            if one.kind == "came_since":
                assert one.since_seconds == times[times.index(one.asked_seconds) - 1]
            else:
                assert one.since_seconds is None


def test_without_kinds_the_ten_are_planned_as_ever():
    world = generate_world(2, 48)
    named_all = plan_questions(world, num_questions=40, seed=0, kinds=tuple(QUESTION_KINDS))
    assert plan_questions(world, num_questions=40, seed=0) == named_all


def test_groups_and_names():
    assert sorted(k for own in FURTHER_GROUPS.values() for k in own) == sorted(FURTHER_KINDS)
    assert not set(FURTHER_KINDS) & set(QUESTION_KINDS)
    assert kinds_named(["all"]) == tuple(ALL_KINDS)
    assert kinds_named(["never_shown", "first", "now"]) == (
        *KIND_GROUPS["now"], "first", *FURTHER_GROUPS["never_shown"]
    )  # fmt: skip
    with pytest.raises(ValueError, match="'smell' is none of now_what"):
        kinds_named(["first", "smell"])
    with pytest.raises(ValueError, match="no kind is named"):
        kinds_named([])


def test_a_cast_may_lack_shapes():
    for seed in range(10):
        world = generate_world(seed, 200, pace=Pace(cast_shapes=2, cast_things=(6, 12)))
        assert len({a.thing.shape for a in world.appearances}) == 2
    with pytest.raises(ValueError, match="cast_shapes must be from 2 to 4, got 5"):
        Pace(cast_shapes=5)
    with pytest.raises(ValueError, match="at most 12 with 2 shapes, got 16"):
        Pace(cast_shapes=2)
