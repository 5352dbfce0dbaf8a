"""The world is what it says: pictures show its story, and nothing about it is left to chance but the seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from hermes_stream.synthetic.world import (
    COLOURS,
    MAX_AT_ONCE,
    MOTIONS,
    REGIONS,
    SHAPES,
    SIZES,
    Pace,
    generate_world,
)

SECONDS = 60
BUSY = Pace(stay_seconds=(2, 5), entry_seconds=(1, 2), quiet_seconds=(1, 2), quiet_share=0.1)


def test_the_same_seed_gives_the_same_world_and_pictures():
    one, other = generate_world(5, SECONDS), generate_world(5, SECONDS)
    assert one == other != generate_world(6, SECONDS)
    assert all(np.array_equal(one.picture(t), other.picture(t)) for t in range(0, SECONDS, 5))


@pytest.mark.parametrize("seed", range(40))
def test_things_enter_one_by_one_and_keep_apart(seed):
    world = generate_world(seed, SECONDS, pace=BUSY)
    entrances = [a.enters_seconds for a in world.appearances]
    assert all(before < after for before, after in pairwise(entrances))
    for second in np.arange(0, SECONDS, 0.5):
        shown = world.on_screen(second)
        assert len(shown) <= MAX_AT_ONCE
        assert len({a.thing for a in shown}) == len({a.cell_at(second) for a in shown}) == len(shown)
        for appearance in shown:
            for share in appearance.centre_at(second):
                assert appearance.radius - 1e-9 <= share <= 1 - appearance.radius + 1e-9


def test_several_are_on_screen_at_times_and_none_at_others():
    worlds = [generate_world(seed, SECONDS) for seed in range(20)]
    counts = {len(world.on_screen(second)) for world in worlds for second in range(SECONDS)}
    assert counts == set(range(MAX_AT_ONCE + 1))
    seen = [a for world in worlds for a in world.appearances]
    assert {a.thing.colour for a in seen} == set(COLOURS)
    assert {a.thing.shape for a in seen} == set(SHAPES)
    assert {a.motion for a in seen} == set(MOTIONS)
    assert {a.size for a in seen} == set(SIZES)


def test_a_story_has_a_cast_that_comes_again_and_again():
    world = generate_world(4, 2000)
    came = Counter(a.thing for a in world.appearances)
    assert 12 <= len(came) <= 16
    assert min(came.values()) > 5


def test_quiet_stretches_are_as_long_as_asked():
    world = generate_world(3, 400, pace=Pace(quiet_seconds=(20, 25), quiet_share=1.0))
    for before, after in pairwise(world.appearances):
        assert 20 <= after.enters_seconds - before.leaves_seconds <= 25


@pytest.mark.parametrize("size", [72, 144, 240])
@pytest.mark.parametrize("seed", range(2))
def test_pictures_show_every_thing_where_the_story_says(seed, size):
    world = generate_world(seed, SECONDS)
    for second in range(0, SECONDS, 3):
        picture = world.picture(second, size=size).astype(int)
        covered = np.zeros((size, size), bool)
        for appearance in world.on_screen(second):
            colour = np.asarray(COLOURS[appearance.thing.colour])
            rows, columns = np.nonzero(np.abs(picture - colour).sum(axis=-1) < 6)
            near = np.hypot(
                *(np.stack([columns, rows]) / size - np.array(appearance.centre_at(second))[:, None])
            )
            inside = near < appearance.radius * 1.5
            assert 0.3 < inside.sum() / (2 * appearance.radius * size) ** 2 < 1
            covered[rows[inside], columns[inside]] = True
        # What is not background is a thing, but for the smooth edges.
        foreign = np.abs(picture - world.background).sum(axis=-1) > 90
        assert (foreign & ~covered).mean() < 3 / size


def test_shapes_differ_in_their_outline():
    areas: dict[str, list[float]] = {}
    for seed in range(30):
        world = generate_world(seed, SECONDS)
        for appearance in world.appearances:
            second = appearance.enters_seconds
            if second < SECONDS and len(world.on_screen(second)) == 1:
                picture = world.picture(second).astype(int)
                covered = (np.abs(picture - world.background).sum(axis=-1) > 100).mean()
                areas.setdefault(appearance.thing.shape, []).append(covered / (2 * appearance.radius) ** 2)
    means = {shape: float(np.mean(found)) for shape, found in areas.items()}
    assert set(means) == set(SHAPES)
    assert means["circle"] == pytest.approx(np.pi / 4, abs=0.05)
    assert means["square"] == pytest.approx(0.88**2, abs=0.05)
    assert means["triangle"] < means["cross"] < means["circle"]


def test_motion_is_what_it_is_called():
    for appearance in generate_world(8, 300).appearances:
        x, y = appearance.centre_at(appearance.enters_seconds)
        u, v = appearance.centre_at(appearance.leaves_seconds)
        towards = MOTIONS[appearance.motion]
        assert tuple(np.sign([round(u - x, 9), round(v - y, 9)]).astype(int)) == towards
        if appearance.motion != "still":
            assert 0.07 <= appearance.speed_per_second <= 0.12


def test_places_are_named_row_by_row():
    world = generate_world(2, 200)
    for appearance in world.appearances:
        x, y = appearance.centre_at(appearance.enters_seconds)
        name = REGIONS[appearance.cell_at(appearance.enters_seconds)]
        assert ("top" in name) == (y < 1 / 3)
        assert ("bottom" in name) == (y >= 2 / 3)
        assert ("left" in name) == (x < 1 / 3)
        assert ("right" in name) == (x >= 2 / 3)


def test_a_duration_must_be_positive():
    with pytest.raises(ValueError, match="got 0"):
        generate_world(1, 0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"entry_seconds": (0, 2)}, "entry_seconds"),
        ({"stay_seconds": (4, 2)}, "stay_seconds"),
        ({"quiet_seconds": (-1, 2)}, "quiet_seconds"),
        ({"quiet_share": 1.5}, "quiet_share"),
        ({"cast_things": (2, 4)}, "cast_things"),
        ({"cast_things": (20, 30)}, "cast_things"),
    ],
)
def test_a_pace_must_make_sense(change, named):
    with pytest.raises(ValueError, match=named):
        Pace(**change)
