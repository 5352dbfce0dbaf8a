"""The world is what it says, and its questions have the answers that its pictures show."""

from __future__ import annotations

import numpy as np
import pytest

from hermes_stream.tiny.questions import NUMBERS, QUESTION_KINDS, ask_at
from hermes_stream.tiny.world import COLOURS, SHAPES, THINGS, generate_world

SECONDS = 30


def test_the_same_seed_gives_the_same_world_and_pictures():
    one, other = generate_world(5, SECONDS), generate_world(5, SECONDS)
    assert one == other != generate_world(6, SECONDS)
    assert all(np.array_equal(one.picture(t), other.picture(t)) for t in range(SECONDS))


@pytest.mark.parametrize("seed", range(5))
def test_one_thing_at_a_time_and_never_the_same_twice_in_a_row(seed):
    world = generate_world(seed, 120)
    for before, after in zip(world.appearances, world.appearances[1:], strict=False):
        assert before.leaves_seconds <= after.enters_seconds
        assert before.thing != after.thing


@pytest.mark.parametrize("seed", range(3))
def test_pictures_show_what_the_story_says(seed):
    world = generate_world(seed, SECONDS)
    for second in range(SECONDS):
        picture = world.picture(second).astype(int)
        foreign = np.abs(picture - world.background).sum(axis=-1) > 60
        appearance = world.on_screen(second)
        assert foreign.any() == (appearance is not None)
        if appearance is not None:
            colour = COLOURS[appearance.thing.colour]
            assert np.abs(picture[foreign] - colour).sum(axis=-1).min() == 0
            assert 0.02 < foreign.mean() < 0.3


def test_shapes_differ_in_their_outline():
    areas = {}
    for seed in range(40):
        world = generate_world(seed, SECONDS)
        for appearance in world.appearances[:3]:
            if appearance.enters_seconds < SECONDS:
                picture = world.picture(appearance.enters_seconds).astype(int)
                covered = (np.abs(picture - world.background).sum(axis=-1) > 100).mean()
                areas.setdefault(appearance.thing.shape, []).append(covered / (2 * appearance.radius) ** 2)
    means = {shape: float(np.mean(found)) for shape, found in areas.items()}
    assert set(means) == set(SHAPES)
    assert means["circle"] == pytest.approx(np.pi / 4, abs=0.03)
    assert means["square"] == pytest.approx(0.88**2, abs=0.03)
    assert means["triangle"] < means["cross"] < means["circle"]


def truths(world, seconds):
    """Answer every question about the stream up to a moment from its pictures' story, second by second."""
    shown = [world.on_screen(t) for t in range(int(seconds) + 1)]
    stays = [a for i, a in enumerate(shown) if a is not None and (i == 0 or shown[i - 1] is not a)]
    things = [str(a.thing) for a in stays]
    answers = {"what is on screen now?": str(shown[-1].thing) if shown[-1] else "nothing"}
    answers["how many things came so far?"] = NUMBERS[len(things)] if len(things) < 10 else None
    if things:
        answers["what came first?"] = things[0]
    for thing in map(str, THINGS):
        answers[f"was there a {thing}?"] = "yes" if thing in things else "no"
        if things.count(thing) == 1:
            i = things.index(thing)
            answers[f"what came before the {thing}?"] = things[i - 1] if i else None
            answers[f"what came after the {thing}?"] = things[i + 1] if i + 1 < len(things) else None
    for shape in SHAPES:
        colours = {t.split()[0] for t in things if t.split()[1] == shape}
        answers[f"what colour was the {shape}?"] = colours.pop() if len(colours) == 1 else None
    return answers


@pytest.mark.parametrize("seed", range(6))
def test_answers_are_what_the_story_says(seed):
    world, rng = generate_world(seed, SECONDS), np.random.default_rng(seed)
    asked = set()
    for second in range(SECONDS):
        truth = truths(world, second)
        for kind in QUESTION_KINDS:
            question = ask_at(world, second, kind, rng)
            if question is not None:
                asked.add(kind)
                assert question.answer == truth[question.text]
                assert question.evidence_seconds <= question.asked_seconds == second
    assert asked == set(QUESTION_KINDS)


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


def test_a_duration_must_be_positive():
    with pytest.raises(ValueError, match="got 0"):
        generate_world(1, 0)
