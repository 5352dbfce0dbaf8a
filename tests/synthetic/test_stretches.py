"""Stretches in which nothing happens: what is told of them, and what they look like."""

from __future__ import annotations

import numpy as np
import pytest

from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.stretches import leave_empty, put_light_out
from hermes_stream.synthetic.watch_truths import plan_watches
from hermes_stream.synthetic.world import generate_world

STRETCH = (20.0, 60.0)


def busy_at_the_start():
    """Return a world with something on screen where the stretch begins."""
    worlds = (generate_world(seed, 90) for seed in range(20))
    return next(one for one in worlds if any(a.enters_seconds < 20 for a in one.on_screen(20)))


@pytest.mark.parametrize("change", [leave_empty, put_light_out])
def test_nothing_shows_in_it_and_all_else_is_the_same(change):
    world = busy_at_the_start()
    changed = change(world, STRETCH)
    assert not any(changed.on_screen(t) for t in np.arange(20, 60, 0.5))
    for t in (*np.arange(0, 20, 0.5), *np.arange(70, 90, 0.5)):
        assert [a.thing for a in changed.on_screen(t)] == [a.thing for a in world.on_screen(t)]
        assert np.array_equal(changed.picture(t), world.picture(t))
    left = {a.thing for a in changed.appearances if a.leaves_seconds == 20}
    assert {a.thing for a in world.on_screen(20) if a.enters_seconds < 20} <= left


def test_a_watch_of_what_leaves_is_due_where_it_begins():
    changed = put_light_out(busy_at_the_start(), STRETCH)
    gone = {f"leaves: {a.thing}" for a in changed.appearances if a.leaves_seconds == 20}
    leaving = [one for one in plan_watches(changed, num_each=20) if one.name in gone]
    assert leaving
    assert all(20.0 in [due.seconds for due in one.happenings] for one in leaving)
    every = [due.seconds for one in plan_watches(changed, num_each=20) for due in one.happenings]
    assert every
    assert not any(25 < seconds < 60 for seconds in every)


@pytest.mark.parametrize("scene", SCENES)
def test_the_dark_is_almost_black_and_its_grain_is_new_in_every_frame(scene):
    world = put_light_out(generate_world(5, 90, scene=scene), STRETCH)
    one, other = (world.picture(t).astype(float) for t in (30, 31))
    assert 0 < one.mean() < 10
    assert one.max() < 60
    assert abs(one - other).mean() > 0.5
    assert world.picture(19.5).mean() > 2 * one.mean()
    assert np.array_equal(world.picture(30), world.picture(30))


@pytest.mark.parametrize("stretch", [(-1.0, 5.0), (5.0, 5.0), (6.0, 5.0)])
def test_a_stretch_has_a_beginning_and_a_later_end(stretch):
    with pytest.raises(ValueError, match="stretch"):
        leave_empty(generate_world(1, 30), stretch)
