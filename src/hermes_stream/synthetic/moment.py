"""A question with its truth, and the moment at which it is put together.

Every question has options that are near misses: things that were there at another time, or that share a
colour or a shape with the truth, so that neither the newest frames nor the frequency of answers give it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hermes_stream.synthetic.world import THINGS, Appearance, Thing, World

NUM_OPTIONS = 4
CLEAR_OF_BORDER = 0.04
"""How far from the nearest border between two regions a place is told, as a share of the picture's side."""

Span = tuple[float, float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its truth.

    Attributes:
        kind: a key of ``ALL_KINDS``.
        text: what is asked.
        answer: the one right answer, one of the options.
        options: what there is to choose from, in random order.
        asked_seconds: the moment of asking; the answer holds for the stream up to and including it.
        evidence: (from, until) in seconds of everything on screen that decides the answer, cut at the moment
            of asking; empty where the answer is that something was not there.
        since_seconds: when the last answer was given, for a question about the time since then.
    """

    kind: str
    text: str
    answer: str
    options: tuple[str, ...]
    asked_seconds: float
    evidence: tuple[Span, ...]
    since_seconds: float | None = None

    @property
    def delay_seconds(self) -> float | None:
        """Seconds from when the oldest evidence left the screen to the question; None without evidence."""
        return self.asked_seconds - min(end for _, end in self.evidence) if self.evidence else None


@dataclass(frozen=True, slots=True)
class Moment:
    """What may be asked about: the world up to a moment, and the random generator that chooses.

    Attributes:
        world: what is asked about.
        seconds: the moment.
        rng: chooses among the things that could be asked about.
        since_seconds: when the last answer was given; None where there was none.
        clear_of_border: how far from a border a place is asked about, as a share of the picture's side.
    """

    world: World
    seconds: float
    rng: np.random.Generator
    since_seconds: float | None = None
    clear_of_border: float = CLEAR_OF_BORDER

    def is_clear(self, appearance: Appearance, seconds: float | None = None) -> bool:
        """Return whether a thing is clear of the borders between regions, now or at a moment before."""
        at = self.seconds if seconds is None else seconds
        return appearance.border_distance(at) >= self.clear_of_border

    @property
    def seen(self) -> list[Appearance]:
        """Everything that has entered, in order of entrance."""
        return self.world.seen(self.seconds)

    @property
    def on_screen(self) -> list[Appearance]:
        """What shows now, in order of entrance."""
        return self.world.on_screen(self.seconds)

    def choose(self, pool: Sequence[T]) -> T | None:
        """Choose one, all alike; None of none."""
        return pool[int(self.rng.integers(len(pool)))] if pool else None

    def question(
        self,
        kind: str,
        text: str,
        answer: str,
        wrong: Iterable[str],
        *,
        evidence: Iterable[Appearance],
        num_options: int = NUM_OPTIONS,
        since_seconds: float | None = None,
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
            since_seconds=since_seconds,
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
            alike = [thing for thing in THINGS if share_a_trait(thing, one) and thing not in excluded]
            wrong.append(alike[int(self.rng.integers(len(alike)))])
        return [str(thing) for thing in wrong]

    def shuffled(self, words: Iterable[str]) -> list[str]:
        """Return them in random order."""
        pool = list(words)
        return [pool[i] for i in self.rng.permutation(len(pool))]


def share_a_trait(one: Thing, other: Thing) -> bool:
    """Return whether two things have one colour or one shape."""
    return one.colour == other.colour or one.shape == other.shape


def names_of(appearances: Sequence[Appearance]) -> list[tuple[int, str]]:
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
