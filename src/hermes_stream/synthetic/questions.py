"""Questions about the world, with their exact answers at the moment they are asked.

Every question has options that are near misses: things that were there at another time, or that share a
colour or a shape with the truth, so that neither the newest frames nor the frequency of answers give it away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hermes_stream.synthetic.world import COLOURS, MOTIONS, REGIONS, SHAPES, THINGS, Appearance, Thing, World

NUMBERS: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NOTHING = "nothing"
AGES: dict[str, tuple[float, float]] = {
    "under eight seconds": (0.0, 8.0),
    "eight to twenty seconds": (8.0, 20.0),
    "over twenty seconds": (20.0, float("inf")),
}

_NUM_OPTIONS = 4
_CLEAR_OF_BORDER = 0.04
SECONDS_TO_SEE_MOTION = 2.0
_AGE_MARGIN_SECONDS = 1.5

Span = tuple[float, float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its truth.

    Attributes:
        kind: a key of ``QUESTION_KINDS``.
        text: what is asked.
        answer: the one right answer, one of the options.
        options: what there is to choose from, in random order.
        asked_seconds: the moment of asking; the answer holds for the stream up to and including it.
        evidence: (from, until) in seconds of everything on screen that decides the answer, cut at the moment
            of asking; empty where the answer is that something was not there.
    """

    kind: str
    text: str
    answer: str
    options: tuple[str, ...]
    asked_seconds: float
    evidence: tuple[Span, ...]

    @property
    def delay_seconds(self) -> float | None:
        """Seconds from when the oldest evidence left the screen to the question; None without evidence."""
        return self.asked_seconds - min(end for _, end in self.evidence) if self.evidence else None


@dataclass(frozen=True, slots=True)
class _Moment:
    """What may be asked about: the world up to a moment, and the random generator that chooses."""

    world: World
    seconds: float
    rng: np.random.Generator

    @property
    def seen(self) -> list[Appearance]:
        return self.world.seen(self.seconds)

    @property
    def on_screen(self) -> list[Appearance]:
        return self.world.on_screen(self.seconds)

    def choose(self, pool: Sequence[T]) -> T | None:
        return pool[int(self.rng.integers(len(pool)))] if pool else None

    def question(
        self,
        kind: str,
        text: str,
        answer: str,
        wrong: Iterable[str],
        *,
        evidence: Iterable[Appearance],
        num_options: int = _NUM_OPTIONS,
    ) -> Question:
        """Put a question together; the first of the wrong answers become its options."""
        near = [option for option in dict.fromkeys(wrong) if option != answer]
        options = [answer, *near[: num_options - 1]]
        return Question(
            kind=kind,
            text=text,
            answer=answer,
            options=tuple(options[i] for i in self.rng.permutation(len(options))),
            asked_seconds=self.seconds,
            evidence=tuple(
                (float(a.enters_seconds), float(min(a.leaves_seconds, self.seconds))) for a in evidence
            ),
        )

    def wrong_things(
        self, truth: Thing | None, *, but: Iterable[Thing] = (), shown: Iterable[Appearance] | None = None
    ) -> list[str]:
        """Return three wrong things: one that was shown, one that shares a trait with it, one with the truth.

        Options come in two pairs of a kind, so that nothing tells which pair, or which of it, is right.
        """
        excluded = {truth, *but}
        pool = dict.fromkeys(a.thing for a in (self.seen if shown is None else shown))
        other = self.choose([thing for thing in pool if thing not in excluded])
        other = other or self.choose([thing for thing in THINGS if thing not in excluded])
        assert other is not None
        wrong = [other]
        for one in (other, truth or other):
            excluded |= set(wrong)
            alike = [thing for thing in THINGS if _share_a_trait(thing, one) and thing not in excluded]
            wrong.append(alike[int(self.rng.integers(len(alike)))])
        return [str(thing) for thing in wrong]

    def shuffled(self, words: Iterable[str]) -> list[str]:
        pool = list(words)
        return [pool[i] for i in self.rng.permutation(len(pool))]


def _share_a_trait(one: Thing, other: Thing) -> bool:
    """Return whether two things have one colour or one shape."""
    return one.colour == other.colour or one.shape == other.shape


def _names(appearances: Sequence[Appearance]) -> list[tuple[int, str]]:
    """Return the appearances that have a name: the only one, the first or the last of their thing."""
    first: dict[Thing, int] = {}
    last: dict[Thing, int] = {}
    for i, appearance in enumerate(appearances):
        first.setdefault(appearance.thing, i)
        last[appearance.thing] = i
    names = []
    for thing, i in first.items():
        if last[thing] == i:
            names.append((i, str(thing)))
        else:
            names += [(i, f"first {thing}"), (last[thing], f"last {thing}")]
    return names


def _now_what(moment: _Moment) -> Question | None:
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
    if any(a.border_distance(moment.seconds) < _CLEAR_OF_BORDER for a in shown):
        return None
    chosen = moment.choose(shown)
    assert chosen is not None
    place = REGIONS[chosen.cell_at(moment.seconds)]
    wrong = moment.wrong_things(chosen.thing, shown=shown)
    return moment.question(
        "now_what", f"what is at the {place} now?", str(chosen.thing), wrong, evidence=[chosen]
    )


def _now_where(moment: _Moment) -> Question | None:
    clear = [a for a in moment.on_screen if a.border_distance(moment.seconds) >= _CLEAR_OF_BORDER]
    chosen = moment.choose(clear)
    if chosen is None:
        return None
    elsewhere = moment.shuffled(REGIONS[a.cell_at(moment.seconds)] for a in moment.on_screen)
    wrong = [*elsewhere, *moment.shuffled(REGIONS)]
    place = REGIONS[chosen.cell_at(moment.seconds)]
    return moment.question("now_where", f"where is the {chosen.thing} now?", place, wrong, evidence=[chosen])


def _now_moving(moment: _Moment) -> Question | None:
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


def _first(moment: _Moment) -> Question | None:
    seen = moment.seen
    if not seen:
        return None
    wrong = moment.wrong_things(seen[0].thing)
    return moment.question("first", "what came first?", str(seen[0].thing), wrong, evidence=seen[:1])


def _neighbour(step: int, kind: str) -> Callable[[_Moment], Question | None]:
    def ask(moment: _Moment) -> Question | None:
        seen = moment.seen
        chosen = moment.choose([(i, name) for i, name in _names(seen) if 0 <= i + step < len(seen)])
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


def _colour(moment: _Moment) -> Question | None:
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


def _was_there(moment: _Moment) -> Question | None:
    """Half the time a thing that was; else a near miss that shares colour or shape with one that was."""
    shown = sorted({a.thing for a in moment.seen})
    is_true = bool(moment.rng.random() < 0.5)
    close = [t for t in THINGS if t not in shown and any(_share_a_trait(t, s) for s in shown)]
    thing = moment.choose(shown if is_true else close)
    if thing is None:
        return None
    evidence = [a for a in moment.seen if a.thing == thing][-1:]
    answer = "yes" if is_true else "no"
    return moment.question("was_there", f"was there a {thing}?", answer, ["yes", "no"], evidence=evidence)


def _how_long_ago(moment: _Moment) -> Question | None:
    """Ask when a thing came, of those clearly within one span; every span as likely as the others."""
    seen = moment.seen
    by_age: dict[str, list[tuple[int, str]]] = {}
    for i, name in _names(seen):
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


def _counting(moment: _Moment) -> Question | None:
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
    low = int(np.clip(count - moment.rng.integers(_NUM_OPTIONS), 0, len(NUMBERS) - _NUM_OPTIONS))
    plural = f"{name}es" if name.endswith("s") else f"{name}s"
    text = f"how many {plural} came so far?"
    return moment.question(
        "counting", text, NUMBERS[count], NUMBERS[low : low + _NUM_OPTIONS], evidence=counted
    )


QUESTION_KINDS: dict[str, Callable[[_Moment], Question | None]] = {
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


def ask_at(world: World, seconds: float, kind: str, rng: np.random.Generator) -> Question | None:
    """Make a question of a kind at a moment; None where the kind has no exact answer then.

    Args:
        world: what is asked about.
        seconds: the moment of asking.
        kind: a key of ``QUESTION_KINDS``.
        rng: chooses among the things that could be asked about.
    """
    return QUESTION_KINDS[kind](_Moment(world, seconds, rng))
