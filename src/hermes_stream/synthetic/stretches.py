"""Long stretches of a story in which nothing happens: an empty wall, and the dark.

What such a world tells is what a camera sees: in a stretch there is nothing, and what was there leaves where
it begins.
"""

from __future__ import annotations

from dataclasses import replace

from hermes_stream.synthetic.world import World

Stretch = tuple[float, float]


def leave_empty(world: World, stretch: Stretch) -> World:
    """Return a world in which nothing shows in a stretch; before and after it is the same.

    What comes before the stretch and would stay leaves where it begins; what would come in it does not come
    at all.

    Args:
        world: is not changed.
        stretch: from when until when, in seconds.

    Raises:
        ValueError: the stretch ends before it begins, or begins before the world.
    """
    start, end = stretch
    if not 0 <= start < end:
        raise ValueError(f"a stretch must be from 0 or later to a later second, got {start} to {end}")
    left = [one for one in world.appearances if not start <= one.enters_seconds < end]
    ended = [
        replace(one, leaves_seconds=start) if one.enters_seconds < start < one.leaves_seconds else one
        for one in left
    ]
    return replace(world, appearances=tuple(ended))


def put_light_out(world: World, stretch: Stretch) -> World:
    """Return a world that is dark in a stretch, and in which nothing shows there.

    Args:
        world: is not changed.
        stretch: from when until when, in seconds.

    Raises:
        ValueError: as of ``leave_empty``.
    """
    return replace(leave_empty(world, stretch), dark_seconds=stretch)
