"""Questions about the world, with their exact answers at the moment they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hermes_stream.tiny.world import THINGS, Thing, World

NUMBERS: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its truth.

    Attributes:
        kind: a key of ``QUESTION_KINDS``.
        text: what is asked.
        answer: the one right answer.
        asked_seconds: the moment of asking; the answer holds for the stream up to and including it.
        evidence_seconds: when the newest thing that decides the answer entered the screen.
    """

    kind: str
    text: str
    answer: str
    asked_seconds: float
    evidence_seconds: float


def _now(world: World, seconds: float, _: np.random.Generator) -> Question | None:
    seen = world.on_screen(seconds)
    return Question(
        kind="now",
        text="what is on screen now?",
        answer=str(seen.thing) if seen else "nothing",
        asked_seconds=seconds,
        evidence_seconds=seconds,
    )


def _first(world: World, seconds: float, _: np.random.Generator) -> Question | None:
    seen = world.seen(seconds)
    if not seen:
        return None
    return Question(
        kind="first",
        text="what came first?",
        answer=str(seen[0].thing),
        asked_seconds=seconds,
        evidence_seconds=seen[0].enters_seconds,
    )


def _was_there(world: World, seconds: float, rng: np.random.Generator) -> Question | None:
    """Half the time a thing that was; else a near miss that shares colour or shape with one that was."""
    seen = world.seen(seconds)
    if not seen:
        return None
    shown = {a.thing for a in seen}
    true = bool(rng.random() < 0.5)
    close = [t for t in THINGS if t not in shown and any(_akin(t, s) for s in shown)]
    pool = sorted(shown) if true else close
    if not pool:
        return None
    thing = pool[int(rng.integers(len(pool)))]
    when = max((a.enters_seconds for a in seen if a.thing == thing), default=seconds)
    return Question(
        kind="was_there",
        text=f"was there a {thing}?",
        answer="yes" if true else "no",
        asked_seconds=seconds,
        evidence_seconds=when,
    )


def _akin(one: Thing, other: Thing) -> bool:
    return one.colour == other.colour or one.shape == other.shape


def _neighbour(step: int, kind: str) -> Callable[[World, float, np.random.Generator], Question | None]:
    def ask(world: World, seconds: float, rng: np.random.Generator) -> Question | None:
        seen = world.seen(seconds)
        things = [a.thing for a in seen]
        pool = [i for i, t in enumerate(things) if things.count(t) == 1 and 0 <= i + step < len(things)]
        if not pool:
            return None
        i = pool[int(rng.integers(len(pool)))]
        return Question(
            kind=kind,
            text=f"what came {kind} the {things[i]}?",
            answer=str(things[i + step]),
            asked_seconds=seconds,
            evidence_seconds=seen[i + step].enters_seconds,
        )

    return ask


def _colour(world: World, seconds: float, rng: np.random.Generator) -> Question | None:
    seen = world.seen(seconds)
    colours: dict[str, set[str]] = {}
    for appearance in seen:
        colours.setdefault(appearance.thing.shape, set()).add(appearance.thing.colour)
    pool = sorted(shape for shape, found in colours.items() if len(found) == 1)
    if not pool:
        return None
    shape = pool[int(rng.integers(len(pool)))]
    return Question(
        kind="colour",
        text=f"what colour was the {shape}?",
        answer=next(iter(colours[shape])),
        asked_seconds=seconds,
        evidence_seconds=max(a.enters_seconds for a in seen if a.thing.shape == shape),
    )


def _counting(world: World, seconds: float, _: np.random.Generator) -> Question | None:
    seen = world.seen(seconds)
    if len(seen) >= len(NUMBERS):
        return None
    return Question(
        kind="counting",
        text="how many things came so far?",
        answer=NUMBERS[len(seen)],
        asked_seconds=seconds,
        evidence_seconds=seen[-1].enters_seconds if seen else seconds,
    )


QUESTION_KINDS: dict[str, Callable[[World, float, np.random.Generator], Question | None]] = {
    "now": _now,
    "first": _first,
    "was_there": _was_there,
    "before": _neighbour(-1, "before"),
    "after": _neighbour(+1, "after"),
    "colour": _colour,
    "counting": _counting,
}


def ask_at(world: World, seconds: float, kind: str, rng: np.random.Generator) -> Question | None:
    """Make a question of a kind at a moment; None where the kind has no exact answer then.

    Args:
        world: the stream's story.
        seconds: the moment of asking.
        kind: a key of ``QUESTION_KINDS``.
        rng: chooses among the things that could be asked about.
    """
    return QUESTION_KINDS[kind](world, seconds, rng)
