"""Scenes change how a story looks, never what it is; each shows what its name says."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from hermes_stream.synthetic.moment import CLEAR_OF_BORDER
from hermes_stream.synthetic.scenes import MAX_SHIFT, SCENES
from hermes_stream.synthetic.world import COLOURS, cell_of, generate_world

SECONDS = 30
EMPTY = 5.0
MOVING = {"noise", "flicker", "pan", "handheld", "light"}


def world_of(scene, seed=3):
    return generate_world(seed, SECONDS, scene=scene)


def quiet_seconds(world):
    """Return two moments a second or more apart at which nothing is on screen, over all seeds' worlds."""
    return [t for t in np.arange(0, SECONDS, 0.5) if not world.on_screen(t)]


def test_still_pictures_are_what_they_ever_were():
    digest = hashlib.sha256()
    for seed in range(6):
        world = generate_world(seed, 48)
        digest.update(repr(world.appearances).encode())
        for t in np.arange(0, 48, 2.5):
            digest.update(world.picture(t, size=(144, 240)[seed % 2]).tobytes())
    assert digest.hexdigest() == "4836a037094c3ecb6b6abece57fe2b37cb264bdc15474e3eb7af7460cb4f5e3e"


@pytest.mark.parametrize("scene", SCENES)
def test_the_story_is_the_same_and_pictures_follow_from_the_seed(scene):
    one, other = world_of(scene), world_of(scene)
    assert one.appearances == world_of("still").appearances
    assert np.array_equal(one.picture(7.5), other.picture(7.5))
    assert not np.array_equal(one.picture(7.5), world_of(scene, seed=4).picture(7.5))
    assert scene == "still" or not np.array_equal(one.picture(7.5), world_of("still").picture(7.5))
    assert one.picture(7.5, size=100).shape == (100, 100, 3)


@pytest.mark.parametrize("scene", SCENES)
def test_an_empty_screen_changes_where_the_scene_moves_and_only_there(scene):
    changes = []
    for seed in range(6):
        world = world_of(scene, seed)
        shown = [world.picture(t).astype(int) for t in quiet_seconds(world)]
        changes += [abs(now - shown[0]).mean() for now in shown[1:]]
    assert (max(changes) > 1.0) == (scene in MOVING)
    if scene in {"noise", "flicker", "pan", "handheld"}:
        assert np.mean(np.array(changes) > 0.5) > 0.9


@pytest.mark.parametrize("scene", SCENES)
def test_a_thing_shows_in_its_own_colour_where_the_story_puts_it(scene):
    colours = {name: np.array(rgb) / np.linalg.norm(rgb) for name, rgb in COLOURS.items()}
    num_right = num_asked = 0
    for seed in range(8):
        world = world_of(scene, seed)
        for t in range(SECONDS):
            for one in world.on_screen(t):
                x, y = (round(share * 144) for share in world.centre_in_picture(one, t))
                patch = world.picture(t)[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
                seen = patch.reshape(-1, 3).mean(axis=0)
                nearest = max(colours, key=lambda name: colours[name] @ seen / np.linalg.norm(seen))
                num_asked += 1
                num_right += nearest == one.thing.colour
    assert num_right / num_asked > 0.97


def test_a_hand_shakes_less_than_the_margin_of_places():
    assert MAX_SHIFT < CLEAR_OF_BORDER
    shifts = np.array([SCENES["handheld"].shift_at(5, t) for t in np.arange(0, 60, 0.1)])
    assert 0.5 * MAX_SHIFT < abs(shifts).max() <= MAX_SHIFT
    assert abs(np.diff(shifts, axis=0)).max() < MAX_SHIFT / 2
    world = world_of("handheld")
    for t in range(SECONDS):
        for one in world.on_screen(t):
            if one.border_distance(t) >= CLEAR_OF_BORDER:
                assert cell_of(world.centre_in_picture(one, t)) == one.cell_at(t)


def test_surroundings_slide_without_a_jump_and_come_round():
    backdrop = SCENES["pan"].backdrop
    steps = [abs(backdrop(1, t + 0.25, 96) - backdrop(1, t, 96)).mean() for t in np.arange(0, 120, 7.25)]
    assert max(steps) < 3 * np.median(steps)


def test_brightness_stays_where_colours_can_be_told():
    levels = [world_of("light", seed).picture(t).mean() / world_of("still", seed).picture(t).mean()
              for seed in range(5) for t in (1, 9, 17, 25)]  # fmt: skip
    assert min(levels) > 0.4
    assert max(levels) < 1.25
    assert max(levels) - min(levels) > 0.3


def test_an_unknown_scene_is_refused():
    with pytest.raises(ValueError, match=r"still, noise.*'moonlight'"):
        generate_world(0, 5, scene="moonlight")
