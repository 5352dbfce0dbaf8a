"""Questions have the answers that the story gives, and options that give nothing away."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hermes_stream.synthetic.questions import (
    AGES,
    KIND_GROUPS,
    NUMBERS,
    QUESTION_KINDS,
    ask_at,
)
from hermes_stream.synthetic.world import MOTIONS, REGIONS, SHAPES, THINGS, Pace, generate_world

SECONDS = 40
BUSY = Pace(stay_seconds=(2, 5), entry_seconds=(1, 2))


def truths(world, seconds):
    """Answer every question about the stream up to a moment by reading the story second by second."""
    shown = [world.on_screen(t) for t in range(int(seconds) + 1)]
    came = []
    for moment in shown:
        came += [a for a in moment if a not in came]
    things = [str(a.thing) for a in came]
    answers = {}
    if len(shown[-1]) <= 1:
        answers["what is on screen now?"] = str(shown[-1][0].thing) if shown[-1] else "nothing"
    for a in shown[-1]:
        place = REGIONS[a.cell_at(seconds)]
        answers[f"what is at the {place} now?"] = str(a.thing)
        answers[f"where is the {a.thing} now?"] = place
        answers[f"which way is the {a.thing} moving now?"] = a.motion
    if things:
        answers["what came first?"] = things[0]
    for thing in map(str, THINGS):
        answers[f"was there a {thing}?"] = "yes" if thing in things else "no"
        plural = thing + ("es" if thing.endswith("s") else "s")
        answers[f"how many {plural} came so far?"] = (NUMBERS + (None,) * 30)[things.count(thing)]
        which = [i for i, name in enumerate(things) if name == thing]
        named = (
            {"": which[0]} if len(which) == 1 else {"first ": which[0], "last ": which[-1]} if which else {}
        )
        for word, i in named.items():
            answers[f"what came before the {word}{thing}?"] = things[i - 1] if i else None
            answers[f"what came after the {word}{thing}?"] = things[i + 1] if i + 1 < len(things) else None
            ago = seconds - came[i].enters_seconds
            answers[f"how long ago did the {word}{thing} come?"] = next(
                age for age, (low, high) in AGES.items() if low <= ago < high
            )
    for shape in SHAPES:
        colours = [t.split()[0] for t in things if t.split()[1] == shape]
        plural = "crosses" if shape == "cross" else shape + "s"
        answers[f"how many {plural} came so far?"] = (NUMBERS + (None,) * 30)[len(colours)]
        if colours:
            answers[f"what colour was the first {shape}?"] = colours[0]
            answers[f"what colour was the last {shape}?"] = colours[-1]
    return answers


@pytest.mark.parametrize("pace", [Pace(), BUSY])
@pytest.mark.parametrize("seed", range(5))
def test_answers_are_what_the_story_says(seed, pace):
    world, rng = generate_world(seed, SECONDS, pace=pace), np.random.default_rng(seed)
    asked = set()
    for second in range(SECONDS):
        truth = truths(world, second)
        for kind in QUESTION_KINDS:
            question = ask_at(world, second, kind, rng)
            if question is not None:
                asked.add(kind)
                assert question.kind == kind
                assert question.answer == truth[question.text]
                assert question.asked_seconds == second
    assert asked == set(QUESTION_KINDS)


def test_options_hold_the_answer_once_among_tempting_others():
    rng = np.random.default_rng(0)
    for seed in range(20):
        world = generate_world(seed, SECONDS)
        for kind in QUESTION_KINDS:
            question = ask_at(world, 30, kind, rng)
            if question is None:
                continue
            assert question.options.count(question.answer) == 1
            assert len(set(question.options)) == len(question.options) >= 2
            if kind in ("first", "before", "after"):
                seen = {str(a.thing) for a in world.seen(30)}
                assert len(seen & set(question.options)) >= min(2, len(seen) - 1)
                assert not any(option in question.text for option in question.options)
    assert set(MOTIONS) == set(
        next(q for s in range(50) if (q := ask_at(generate_world(s, 9), 8, "now_moving", rng))).options
    )


def test_nothing_about_the_options_tells_which_is_right():
    """A guesser that sees options alone is right as often as one that guesses."""
    rng = np.random.default_rng(4)
    for kind in ("first", "before", "after", "now_what"):
        hits, num_asked = {"likest": 0.0, "least like": 0.0}, 0
        for seed in range(600):
            question = ask_at(generate_world(seed, SECONDS), 30, kind, rng)
            if question is None or question.answer == "nothing":
                continue
            num_asked += 1
            words = [set(option.split()) for option in question.options]
            likeness = [sum(len(one & other) for other in words) for one in words]
            for name, extreme in (("likest", max), ("least like", min)):
                best = [i for i, like in enumerate(likeness) if like == extreme(likeness)]
                hits[name] += (question.options.index(question.answer) in best) / len(best)
        assert all(hit / num_asked < 0.33 for hit in hits.values()), (kind, hits, num_asked)


def test_counts_and_their_options_are_balanced():
    rng = np.random.default_rng(5)
    places, answers = Counter(), Counter()
    for seed in range(400):
        question = ask_at(generate_world(seed, SECONDS), 35, "counting", rng)
        answers[question.answer] += 1
        numbers = sorted(NUMBERS.index(option) for option in question.options)
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        if NUMBERS.index(question.answer) >= 3:
            places[numbers.index(NUMBERS.index(question.answer))] += 1
    assert max(answers.values()) < 160
    assert max(places.values()) < 0.45 * sum(places.values())


def test_hours_of_story_still_have_questions_of_every_kind_but_counting():
    rng = np.random.default_rng(6)
    world = generate_world(9, 3600)
    for kind in set(QUESTION_KINDS) - {"counting"}:
        assert any(ask_at(world, second, kind, rng) for second in range(3500, 3599)), kind
    answers = {ask_at(world, second, "was_there", rng).answer for second in range(3500, 3550)}
    assert answers == {"yes", "no"}


def test_the_place_of_the_answer_says_nothing():
    rng = np.random.default_rng(1)
    places = Counter()
    for seed in range(400):
        question = ask_at(generate_world(seed, SECONDS), 30, "first", rng)
        places[question.options.index(question.answer)] += 1
    assert all(70 < places[i] < 130 for i in range(4))


def test_was_there_is_half_yes_and_its_noes_are_near_misses():
    rng = np.random.default_rng(0)
    answers = []
    for seed in range(200):
        world = generate_world(seed, SECONDS)
        question = ask_at(world, 20, "was_there", rng)
        answers.append(question.answer)
        shown = {a.thing for a in world.seen(20)}
        thing = next(t for t in THINGS if question.text == f"was there a {t}?")
        assert (thing in shown) == (question.answer == "yes")
        assert any(t.colour == thing.colour or t.shape == thing.shape for t in shown)
    assert 0.4 < answers.count("yes") / len(answers) < 0.6


def test_evidence_is_when_the_deciding_things_were_on_screen():
    rng = np.random.default_rng(2)
    for seed in range(10):
        world = generate_world(seed, SECONDS)
        spans = {(a.enters_seconds, a.leaves_seconds): a for a in world.appearances}
        for kind in QUESTION_KINDS:
            question = ask_at(world, 35, kind, rng)
            if question is None:
                continue
            for begin, end in question.evidence:
                assert begin <= end <= 35
                assert any(begin == b and end == min(e, 35) for b, e in spans)
            if kind in KIND_GROUPS["now"] and question.evidence:
                assert question.delay_seconds == 0
            if kind == "first":
                first = world.appearances[0]
                assert question.delay_seconds == 35 - min(first.leaves_seconds, 35)
            if question.answer in ("no", "zero", "nothing"):
                assert question.delay_seconds is None


def test_nothing_is_asked_that_has_no_exact_answer():
    rng = np.random.default_rng(3)
    for seed in range(30):
        world = generate_world(seed, SECONDS)
        for second in range(SECONDS):
            where = ask_at(world, second, "now_where", rng)
            if where is not None:
                named = next(a for a in world.on_screen(second) if str(a.thing) in where.text)
                assert named.border_distance(second) >= 0.04
            moving = ask_at(world, second, "now_moving", rng)
            if moving is not None:
                named = next(a for a in world.on_screen(second) if str(a.thing) in moving.text)
                assert second - named.enters_seconds >= 2
            ago = ask_at(world, second, "how_long_ago", rng)
            if ago is not None:
                named = [a for a in world.seen(second) if str(a.thing) in ago.text]
                age = second - named["last" in ago.text and -1].enters_seconds
                assert all(abs(age - border) >= 1.5 for border in (8, 20))


def test_every_kind_is_in_one_group():
    assert sorted(kind for kinds in KIND_GROUPS.values() for kind in kinds) == sorted(QUESTION_KINDS)
