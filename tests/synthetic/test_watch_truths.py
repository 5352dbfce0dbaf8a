"""When a watch should speak, against the story told again second by second."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from hermes_stream.synthetic.questions import NOTHING
from hermes_stream.synthetic.watch_truths import CONDITIONS, plan_watches
from hermes_stream.synthetic.world import REGIONS, cell_of, generate_world

WORLDS = [generate_world(seed, 240) for seed in (1, 2, 3)]


def shown(world, second: int) -> set[str]:
    return {str(one.thing) for one in world.on_screen(second)}


def of(condition: str, num_each: int = 3):
    for world in WORLDS:
        for one in plan_watches(world, num_each=num_each):
            if one.condition == condition:
                yield world, one, [happening.seconds for happening in one.happenings]


def edges(is_true) -> list[float]:
    return [
        float(second) for second in range(240) if is_true(second) and not (second and is_true(second - 1))
    ]


@pytest.mark.parametrize("num_each", [1, 3])
def test_half_of_each_condition_never_come(num_each):
    for world in WORLDS:
        planned = plan_watches(world, num_each=num_each)
        assert len({one.name for one in planned}) == len(planned)
        for condition in CONDITIONS:
            own = [bool(one.happenings) for one in planned if one.condition == condition]
            assert 2 <= len(own) <= 2 * num_each
            assert 2 * sum(own) == len(own)
    assert plan_watches(WORLDS[0]) == plan_watches(WORLDS[0])
    assert plan_watches(WORLDS[0], seed=1) != plan_watches(WORLDS[0])


def test_a_thing_appears_and_leaves():
    for world, one, seconds in of("appears"):
        thing = one.question.removeprefix("is there a ").removesuffix(" now?")
        assert seconds == edges(lambda second, own=world, thing=thing: thing in shown(own, second))
    for world, one, seconds in of("leaves"):
        thing = one.question.removeprefix("is there a ").removesuffix(" now?")
        gone = edges(lambda second, own=world, thing=thing: thing not in shown(own, second))
        assert one.tells == "cleared"
        assert seconds == [moment for moment in gone if moment > 0]


def test_a_thing_comes_again_that_was_there_before_the_watch_was():
    for world, one, seconds in of("comes_again"):
        thing = one.question.removeprefix("is there a ").removesuffix(" now?")
        came = edges(lambda second, own=world, thing=thing: thing in shown(own, second))
        assert one.given == f"was there a {thing}?"
        assert one.opened_seconds == 60
        assert thing not in shown(world, 60)
        if seconds:
            assert came[0] < 60
            assert seconds == [moment for moment in came if moment > 60]
        else:
            assert len(came) <= 1


def test_the_second_is_the_second():
    for world, one, seconds in of("second"):
        thing = one.name.removeprefix("second: ")
        came = [a.enters_seconds for a in world.seen(239) if str(a.thing) == thing]
        assert one.nth == 2
        assert seconds == came[1:2]


def test_two_are_there_at_once():
    for world, one, seconds in of("two_at_once"):
        pair = set(one.name.removeprefix("two_at_once: ").split(" and "))
        assert seconds == edges(lambda second, own=world, pair=pair: pair <= shown(own, second))
        assert len(one.also) == 1
        # both come, also where they never meet
        assert pair <= {str(a.thing) for a in world.seen(239)}


def place_in_picture(world, appearance, second: int) -> str:
    """Where a thing is in the picture, which a hand moves with all that it shows."""
    column, row = (min(int(share * 3), 2) for share in world.centre_in_picture(appearance, second))
    return REGIONS[3 * row + column]


def test_a_place_is_reached():
    for world, one, seconds in of("place_reached"):
        thing, place = one.name.removeprefix("place_reached: ").split(" at the ")

        def is_there(second, own=world, thing=thing, place=place):
            return any(
                str(a.thing) == thing and place_in_picture(own, a, second) == place
                for a in own.on_screen(second)
            )

        assert one.answer == place
        assert seconds == edges(is_there)


def test_nothing_is_there_for_so_long():
    for world, one, seconds in of("quiet"):
        held = int(one.hold_seconds)
        empty = [not shown(world, second) for second in range(240)]
        expected = [
            float(second)
            for second in range(held, 240)
            if all(empty[second - held : second + 1]) and not (second > held and empty[second - held - 1])
        ]
        assert one.answer == NOTHING
        assert seconds == expected


def test_a_state_is_the_last_place_that_a_thing_had():
    for world, one, _ in of("state"):
        thing, places = one.name.removeprefix("state: "), []
        for second in range(240):
            places += [
                (float(second), place_in_picture(world, a, second))
                for a in world.on_screen(second)
                if str(a.thing) == thing
            ]
        changes = [now for before, now in pairwise(places) if before[1] != now[1]]
        assert [(own.seconds, own.value) for own in one.happenings] == changes


def test_counts_rise_by_one():
    for world, one, seconds in of("count"):
        thing = one.name.removeprefix("count: ")
        came = [a.enters_seconds for a in world.seen(239) if str(a.thing) == thing]
        assert seconds == came[:9]
        assert [own.value for own in one.happenings][:2] == ["one", "two"][: len(came)]
        stays = [a.leaves_seconds - a.enters_seconds for a in world.seen(239) if str(a.thing) == thing]
        assert 0 < one.hold_seconds < 1 <= min(stays, default=2) - 1, "a second look comes while it stays"
    assert Counter(bool(seconds) for _, _, seconds in of("count")) == {True: 9, False: 9}


@pytest.mark.parametrize("fps", [2, 4])
def test_truths_are_read_at_the_moments_of_pictures(fps):
    some = 0
    for world in WORLDS:
        slow, fast = plan_watches(world, num_each=9), plan_watches(world, num_each=9, fps=fps)
        for one in fast:
            if one.condition in ("appears", "leaves", "second", "count", "comes_again"):
                assert one in slow  # things come and go at whole seconds
            for happening in one.happenings if one.condition == "state" else ():
                before = happening.seconds - 1 / fps
                thing = one.name.removeprefix("state: ")
                places = [
                    [
                        REGIONS[cell_of(world.centre_in_picture(stay, moment))]
                        for stay in world.on_screen(moment)
                        if str(stay.thing) == thing
                    ]
                    for moment in (before, happening.seconds)
                ]
                assert places[0] != places[1] == [happening.value]
                some += not happening.seconds.is_integer()
    assert some
    assert plan_watches(WORLDS[0], fps=0.5) == plan_watches(WORLDS[0])
