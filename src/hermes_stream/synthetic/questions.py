"""Questions about the world, with exact answers at the moment they are asked: ten kinds, and further ones.

The ten are asked unless other kinds are named. Further kinds stand in files of their own: what standing
questions need, and what was never shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from hermes_stream.synthetic.moment import (
    CLEAR_OF_BORDER,
    NUM_OPTIONS,
    Moment,
    Question,
    names_of,
    share_a_trait,
)
from hermes_stream.synthetic.standing_questions import STANDING_KINDS
from hermes_stream.synthetic.unseen_questions import RECALL_KINDS, UNSEEN_KINDS
from hermes_stream.synthetic.world import COLOURS, MOTIONS, REGIONS, SHAPES, THINGS, World

NUMBERS: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NOTHING = "nothing"
AGES: dict[str, tuple[float, float]] = {
    "under eight seconds": (0.0, 8.0),
    "eight to twenty seconds": (8.0, 20.0),
    "over twenty seconds": (20.0, float("inf")),
}

SECONDS_TO_SEE_MOTION = 2.0
_AGE_MARGIN_SECONDS = 1.5


def _now_what(moment: Moment) -> Question | None:
    """Ask for the one thing on screen, or for what is in a region when there are several."""
    shown = moment.on_screen
    if len(shown) <= 1:
        truth = shown[0].thing if shown else None
        other, like_other, like_truth = moment.wrong_things(truth)
        wrong = [other, like_other, like_truth]
        if truth and moment.rng.random() < 0.5:
            # Two of the three things are alike; the truth is any of them.
            wrong = [NOTHING, other, like_other if moment.rng.random() < 1 / 3 else like_truth]
        text = "what is on screen now?"
        return moment.question("now_what", text, str(truth or NOTHING), wrong, evidence=shown)
    if not all(moment.is_clear(a) for a in shown):
        return None
    chosen = moment.choose(shown)
    assert chosen is not None
    place = REGIONS[chosen.cell_at(moment.seconds)]
    wrong = moment.wrong_things(chosen.thing, shown=shown)
    return moment.question(
        "now_what", f"what is at the {place} now?", str(chosen.thing), wrong, evidence=[chosen]
    )


def _now_where(moment: Moment) -> Question | None:
    chosen = moment.choose([a for a in moment.on_screen if moment.is_clear(a)])
    if chosen is None:
        return None
    elsewhere = moment.shuffled(REGIONS[a.cell_at(moment.seconds)] for a in moment.on_screen)
    wrong = [*elsewhere, *moment.shuffled(REGIONS)]
    place = REGIONS[chosen.cell_at(moment.seconds)]
    return moment.question("now_where", f"where is the {chosen.thing} now?", place, wrong, evidence=[chosen])


def _now_moving(moment: Moment) -> Question | None:
    long_enough = moment.seconds - SECONDS_TO_SEE_MOTION
    chosen = moment.choose([a for a in moment.on_screen if a.enters_seconds <= long_enough])
    if chosen is None:
        return None
    return moment.question(
        "now_moving",
        f"which way is the {chosen.thing} moving now?",
        chosen.motion,
        moment.shuffled(MOTIONS),
        evidence=[chosen],
        num_options=len(MOTIONS),
    )


def _first(moment: Moment) -> Question | None:
    seen = moment.seen
    if not seen:
        return None
    wrong = moment.wrong_things(seen[0].thing)
    return moment.question("first", "what came first?", str(seen[0].thing), wrong, evidence=seen[:1])


def _neighbour(step: int, kind: str) -> Callable[[Moment], Question | None]:
    def ask(moment: Moment) -> Question | None:
        seen = moment.seen
        chosen = moment.choose([(i, name) for i, name in names_of(seen) if 0 <= i + step < len(seen)])
        if chosen is None:
            return None
        i, name = chosen
        truth = seen[i + step]
        wrong = moment.wrong_things(truth.thing, but=[seen[i].thing])
        evidence = [truth, seen[i]]
        return moment.question(
            kind, f"what came {kind} the {name}?", str(truth.thing), wrong, evidence=evidence
        )

    return ask


def _colour(moment: Moment) -> Question | None:
    """Ask for the colour of the first or the last of a shape."""
    seen = moment.seen
    shape = moment.choose(sorted({a.thing.shape for a in seen}))
    if shape is None:
        return None
    alike = [a for a in seen if a.thing.shape == shape]
    which = "first" if moment.rng.random() < 0.5 else "last"
    truth = alike[0] if which == "first" else alike[-1]
    wrong = [*moment.shuffled(a.thing.colour for a in alike), *moment.shuffled(COLOURS)]
    text = f"what colour was the {which} {shape}?"
    return moment.question("colour", text, truth.thing.colour, wrong, evidence=[truth])


def _was_there(moment: Moment) -> Question | None:
    """Half the time a thing that was; else a near miss that shares colour or shape with one that was."""
    shown = sorted({a.thing for a in moment.seen})
    is_true = bool(moment.rng.random() < 0.5)
    close = [t for t in THINGS if t not in shown and any(share_a_trait(t, s) for s in shown)]
    thing = moment.choose(shown if is_true else close)
    if thing is None:
        return None
    evidence = [a for a in moment.seen if a.thing == thing][-1:]
    answer = "yes" if is_true else "no"
    return moment.question("was_there", f"was there a {thing}?", answer, ["yes", "no"], evidence=evidence)


def _how_long_ago(moment: Moment) -> Question | None:
    """Ask when a thing came, of those clearly within one span; every span as likely as the others."""
    seen = moment.seen
    by_age: dict[str, list[tuple[int, str]]] = {}
    for i, name in names_of(seen):
        age = _age(moment.seconds - seen[i].enters_seconds)
        if age is not None:
            by_age.setdefault(age, []).append((i, name))
    age = moment.choose(sorted(by_age))
    if age is None:
        return None
    chosen = moment.choose(by_age[age])
    assert chosen is not None
    i, name = chosen
    return moment.question(
        "how_long_ago", f"how long ago did the {name} come?", age, AGES, evidence=[seen[i]]
    )


def _age(seconds: float) -> str | None:
    for age, (low, high) in AGES.items():
        if (low == 0 or seconds >= low + _AGE_MARGIN_SECONDS) and seconds <= high - _AGE_MARGIN_SECONDS:
            return age
    return None


def _counting(moment: Moment) -> Question | None:
    """Ask how often a shape or a thing came; every count that there is as likely as the others."""
    seen = moment.seen
    counts = Counter(a.thing.shape for a in seen)
    if moment.rng.random() < 0.5 or min(counts.get(shape, 0) for shape in SHAPES) >= len(NUMBERS):
        counts = Counter(str(a.thing) for a in seen)
        names = [str(thing) for thing in THINGS]
    else:
        names = list(SHAPES)
    count = moment.choose(sorted({n for n in (counts[name] for name in names) if n < len(NUMBERS)}))
    if count is None:
        return None
    name = moment.choose([name for name in names if counts[name] == count])
    assert name is not None
    counted = [a for a in seen if str(a.thing).endswith(name)]
    # The four options are neighbours, the truth anywhere among them.
    low = int(np.clip(count - moment.rng.integers(NUM_OPTIONS), 0, len(NUMBERS) - NUM_OPTIONS))
    plural = f"{name}es" if name.endswith("s") else f"{name}s"
    text = f"how many {plural} came so far?"
    return moment.question(
        "counting", text, NUMBERS[count], NUMBERS[low : low + NUM_OPTIONS], evidence=counted
    )


QUESTION_KINDS: dict[str, Callable[[Moment], Question | None]] = {
    "now_what": _now_what,
    "now_where": _now_where,
    "now_moving": _now_moving,
    "first": _first,
    "before": _neighbour(-1, "before"),
    "after": _neighbour(+1, "after"),
    "colour": _colour,
    "was_there": _was_there,
    "how_long_ago": _how_long_ago,
    "counting": _counting,
}
KIND_GROUPS: dict[str, tuple[str, ...]] = {
    "now": ("now_what", "now_where", "now_moving"),
    "backward": ("first", "before", "after", "colour", "was_there", "how_long_ago"),
    "counting": ("counting",),
}


FURTHER_KINDS: dict[str, Callable[[Moment], Question | None]] = {
    **STANDING_KINDS,
    **RECALL_KINDS,
    **UNSEEN_KINDS,
}
FURTHER_GROUPS: dict[str, tuple[str, ...]] = {
    "standing": tuple(STANDING_KINDS),
    "recall": tuple(RECALL_KINDS),
    "never_shown": tuple(UNSEEN_KINDS),
}
ALL_KINDS = QUESTION_KINDS | FURTHER_KINDS
TIMED_KINDS = ("how_long_ago", "came_since")
"""Kinds whose answer is a matter of how much time has passed."""


def kinds_named(names: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds that names stand for, each once, in the order of ``ALL_KINDS``.

    Args:
        names: of kinds, of groups of kinds, or "all".

    Raises:
        ValueError: no name is given, or one is none of them.
    """
    groups = {**KIND_GROUPS, **FURTHER_GROUPS, "all": tuple(ALL_KINDS)}
    known = ", ".join(dict.fromkeys([*ALL_KINDS, *groups]))
    named: set[str] = set()
    for name in names:
        if name not in ALL_KINDS and name not in groups:
            raise ValueError(f"{name!r} is none of {known}")
        named |= set(groups.get(name, [name]))
    if not named:
        raise ValueError(f"no kind is named; give some of {known}")
    return tuple(kind for kind in ALL_KINDS if kind in named)


def ask_at(
    world: World,
    seconds: float,
    kind: str,
    rng: np.random.Generator,
    *,
    since_seconds: float | None = None,
    clear_of_border: float = CLEAR_OF_BORDER,
) -> Question | None:
    """Make a question of a kind at a moment; None where the kind has no exact answer then.

    Args:
        world: what is asked about.
        seconds: the moment of asking.
        kind: a key of ``ALL_KINDS``.
        rng: chooses among the things that could be asked about.
        since_seconds: when the last answer was given, in whole seconds before; None where there was none.
        clear_of_border: how far from a border a place is asked about, as a share of the picture's side.
    """
    return ALL_KINDS[kind](Moment(world, seconds, rng, since_seconds, clear_of_border))
