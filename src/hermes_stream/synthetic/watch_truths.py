"""Standing questions about a world, and the moments at which each has something to say.

Truths are read off the story at the moments of its pictures, or at whole seconds where these are fewer. Half
of the watches of each condition wait for what never comes, as near to what comes as the story has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from hermes_stream.synthetic.happenings import Happening, changes_of_place
from hermes_stream.synthetic.moment import CLEAR_OF_BORDER, share_a_trait
from hermes_stream.synthetic.questions import NOTHING, NUMBERS
from hermes_stream.synthetic.world import (
    COLOURS,
    GRID,
    REGIONS,
    THINGS,
    Appearance,
    Thing,
    World,
    cell_of,
)

Tells = Literal["raised", "cleared", "changed", "counted"]
OPENED_SHARE = 0.25
"""When a watch is opened that asks about what was there before it, as a share of the story."""
LONGEST_QUIET_SECONDS = 4
NEWEST_SECONDS = 8.0
"""How far back a watch reads: all ask about now, but for what is given (measured in docs/watches.md)."""
_PLACE_SECONDS = 2
_SURE_OF_PLACE, _SURE_OF_CHANGE = 0.8, 0.7
"""How likely a place must be to be reached, and to be a new state: near a border a model is of two minds."""
_COUNT_HOLD_SECONDS = 0.5
"""How long what is counted must last, more than a look: one too many shifts each number after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTruth:
    """A standing question with its truth.

    Attributes:
        name: of the watch, in its story.
        condition: a key of ``CONDITIONS``.
        question: what is asked.
        kind: "alert", "state" or "count".
        tells: the event that is waited for.
        happenings: when it should come, earliest first; empty where what is watched for never comes.
        brief: what may be told and need not be, as it shows for less than a look takes to come round.
        options: what there is to choose from; empty where it is yes or no, or a number.
        answer: the option that is waited for.
        also: questions that must be yes as well.
        given: a question that must have been yes before.
        keeps_given: whether it is enough that it was yes once.
        onset: a question that must be yes where yes begins.
        nth: which time that yes begins is waited for; None is each.
        newest_seconds: how far back it reads; None is all.
        raise_at: how likely it must be; None is the default of its kind.
        hold_seconds: for how long it must be so.
        clear_at: how likely yes may be at most to clear an alert; 0 for what stays true once it is.
        opened_seconds: when the watch begins.
    """

    name: str
    condition: str
    question: str
    kind: Literal["alert", "state", "count"] = "alert"
    tells: Tells = "raised"
    happenings: tuple[Happening, ...]
    brief: tuple[Happening, ...] = ()
    options: tuple[str, ...] = ()
    answer: str | None = None
    also: tuple[str, ...] = ()
    given: str | None = None
    keeps_given: bool = False
    onset: str | None = None
    nth: int | None = None
    newest_seconds: float | None = None
    raise_at: float | None = None
    hold_seconds: float = 0.0
    clear_at: float | None = None
    opened_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A watch without its name and condition."""

    what: str
    happenings: tuple[Happening, ...]
    asks: Mapping[str, Any]
    brief: tuple[Happening, ...] = ()


def plan_watches(world: World, *, num_each: int = 1, seed: int = 0, fps: float = 1) -> tuple[WatchTruth, ...]:
    """Plan watches of every condition: as many for what comes as for what never does.

    Where a story has nothing of one of the two, it has fewer of the other as well, so that a watch that never
    comes is never more than half.

    Args:
        world: what is watched.
        num_each: of each condition, for what comes, and again for what never does; at least 1.
        seed: same world and seed, same watches.
        fps: pictures a second, at whose moments truths are read.

    Raises:
        ValueError: ``num_each`` is below 1.
    """
    if num_each < 1:
        raise ValueError(f"num_each must be at least 1, got {num_each}")
    story = _Story(world, fps=max(1.0, fps))
    planned: list[WatchTruth] = []
    for number, (condition, plan) in enumerate(CONDITIONS.items()):
        rng = np.random.default_rng([world.seed, seed, number])
        drafts = plan(story)
        coming = [one for one in drafts if one.happenings]
        never = [one for one in drafts if not one.happenings]
        count = min(num_each, len(coming), len(never))
        chosen = [pool[i] for pool in (coming, never) for i in rng.permutation(len(pool))[:count]]
        planned += [_named(condition, draft) for draft in chosen]
    return tuple(planned)


def _named(condition: str, draft: _Draft) -> WatchTruth:
    name = f"{condition}: {draft.what}"
    asks: dict[str, Any] = {"tells": "raised", "newest_seconds": NEWEST_SECONDS, **draft.asks}
    return WatchTruth(name=name, condition=condition, happenings=draft.happenings, brief=draft.brief, **asks)


class _Story:
    """What a camera sees of a world at the moments of its pictures.

    Args:
        world: the world.
        fps: pictures a second.
    """

    def __init__(self, world: World, *, fps: float) -> None:
        self.world, self.fps = world, fps
        self.num_seconds = int(np.ceil(world.duration_seconds))
        self.opened = int(OPENED_SHARE * self.num_seconds)
        self.moments = [self._moment(k) for k in range(int(np.ceil(world.duration_seconds * fps)))]
        self.things = sorted({a.thing for a in world.seen(self.num_seconds - 1)})
        # a thing that never came, in colour or shape like one that did
        self.near = [
            thing
            for thing in THINGS
            if thing not in self.things and any(share_a_trait(thing, one) for one in self.things)
        ]

    def of(self, thing: Thing) -> list[Appearance]:
        """Return the stays of a thing that a picture shows."""
        return [a for a in self.world.seen(self.num_seconds - 1) if a.thing == thing]

    def _moment(self, number: int) -> float:
        seconds = number / self.fps
        return int(seconds) if seconds.is_integer() else seconds

    def spans(self, is_true: Callable[[float], bool]) -> list[tuple[float, float]]:
        """Return (from, until) of the moments at which something is true, in seconds."""
        spans: list[tuple[int, int]] = []
        for number, second in enumerate(self.moments):
            if is_true(second):
                start = spans.pop()[0] if spans and spans[-1][1] == number else number
                spans.append((start, number + 1))
        return [(self._moment(start), self._moment(end)) for start, end in spans]

    def cell(self, stay: Appearance, second: float) -> int:
        """Return the region in which the camera sees a thing, which a hand moves with all else."""
        return cell_of(self.world.centre_in_picture(stay, second))

    def shown(self, thing: Thing) -> list[tuple[float, float]]:
        """Return (from, until) of the moments at which a thing shows."""
        stays = self.of(thing)
        return self.spans(lambda second: any(a.is_on_screen(second) for a in stays))


def is_there(thing: Thing) -> str:
    """Return the question whether a thing shows now."""
    return f"is there a {thing} now?"


def has_come(thing: Thing) -> str:
    """Return the question whether a thing came just now, as far as a look a second is apart from the last."""
    return f"did a {thing} come since you last answered two seconds ago?"


def _coming(thing: Thing) -> dict[str, Any]:
    """Return how the coming and going of a thing is watched for: it is there, and has just come."""
    return {"question": is_there(thing), "onset": has_come(thing)}


def _at(seconds: Sequence[float]) -> tuple[Happening, ...]:
    return tuple(Happening(seconds=float(one)) for one in seconds)


def _appears(story: _Story) -> list[_Draft]:
    return [
        _Draft(
            what=str(thing),
            happenings=_at([start for start, _ in story.shown(thing)]),
            asks=_coming(thing),
        )
        for thing in (*story.things, *story.near)
    ]


def _leaves(story: _Story) -> list[_Draft]:
    return [
        _Draft(
            what=str(thing),
            happenings=_at([end for _, end in story.shown(thing) if end < story.num_seconds]),
            asks=_coming(thing) | {"tells": "cleared"},
        )
        for thing in (*story.things, *story.near)
    ]


def _comes_again(story: _Story) -> list[_Draft]:
    """Wait for what was there before the watch was; what never comes again came once, or not at all."""
    drafts = []
    for thing in (*story.things, *story.near):
        spans = story.shown(thing)
        again = [start for start, _ in spans[1:] if start > story.opened]
        was_before = bool(spans) and spans[0][1] < story.opened
        is_now = any(start <= story.opened < end for start, end in spans)
        is_never = len(spans) < 2
        if not is_now and ((again and was_before) or is_never):
            asks = _coming(thing) | {
                "given": f"was there a {thing}?",
                "keeps_given": True,
                "opened_seconds": float(story.opened),
            }
            drafts.append(_Draft(what=str(thing), happenings=_at(again), asks=asks))
    return _with_tempting(drafts, lambda draft: any(draft.what == str(thing) for thing in story.things))


def _second(story: _Story) -> list[_Draft]:
    """Wait for the second of a thing; what has no second came once, or not at all."""
    drafts = [
        _Draft(
            what=str(thing),
            happenings=_at([start for start, _ in spans[1:2]]),
            asks=_coming(thing) | {"nth": 2},
        )
        for thing in (*story.things, *story.near)
        for spans in [story.shown(thing)]
        if len(spans) == len(story.of(thing))
    ]
    return _with_tempting(drafts, lambda draft: any(draft.what == str(thing) for thing in story.things))


def _with_tempting(drafts: list[_Draft], is_tempting: Callable[[_Draft], bool]) -> list[_Draft]:
    """Leave out what never came at all, where something came that is no answer all the same."""
    never = [one for one in drafts if not one.happenings]
    tempting = [one for one in never if is_tempting(one)]
    return [one for one in drafts if one.happenings] + (tempting or never)


def _two_at_once(story: _Story) -> list[_Draft]:
    """Wait for two things together, of such as both come."""
    drafts = []
    for i, one in enumerate(story.things):
        for other in story.things[i + 1 :]:
            both = [start for start, _ in story.spans(partial(_shows, story, {one, other}))]
            asks = {"question": is_there(one), "also": (is_there(other),)}
            drafts.append(_Draft(what=f"{one} and {other}", happenings=_at(both), asks=asks))
    return drafts


def _place_reached(story: _Story) -> list[_Draft]:
    """Wait for a thing in a region; what never reaches it stays clear of it."""
    drafts = []
    for thing in story.things:
        stays = story.of(thing)
        for cell, region in enumerate(REGIONS):
            spans = story.spans(partial(_is_in, story, stays, cell))
            if all(end - start >= _PLACE_SECONDS for start, end in spans) and (
                spans or not _comes_near(stays, cell)
            ):
                asks = {
                    "question": f"where is the {thing} now?",
                    "options": REGIONS,
                    "answer": region,
                    "also": (is_there(thing),),
                    "raise_at": _SURE_OF_PLACE,
                }
                happenings = _at([start for start, _ in spans])
                drafts.append(_Draft(what=f"{thing} at the {region}", happenings=happenings, asks=asks))
    return drafts


def _shows(story: _Story, things: set[Thing], second: float) -> bool:
    return things <= {a.thing for a in story.world.on_screen(second)}


def _is_in(story: _Story, stays: Sequence[Appearance], cell: int, second: float) -> bool:
    return any(a.is_on_screen(second) and story.cell(a, second) == cell for a in stays)


def _comes_near(stays: Sequence[Appearance], cell: int) -> bool:
    """Tell whether a stay leads so near to a region that a shaking camera would show it there."""
    row, column = divmod(cell, GRID)
    for stay in stays:
        for second in range(int(stay.enters_seconds), int(stay.leaves_seconds)):
            x, y = stay.centre_at(second)
            away = max(
                *(column / GRID - x, x - (column + 1) / GRID),
                *(row / GRID - y, y - (row + 1) / GRID),
            )
            if away < CLEAR_OF_BORDER:
                return True
    return False


def _quiet(story: _Story) -> list[_Draft]:
    """Wait for an empty screen that stays so; what never comes is longer than the longest."""
    empty = story.spans(lambda second: not story.world.on_screen(second))
    longest = max((end - start for start, end in empty), default=0)
    drafts = []
    for seconds in (*range(2, LONGEST_QUIET_SECONDS + 1), longest, longest + 1):
        happenings = _at([start + seconds for start, end in empty if end - start > seconds])
        asks = {
            "question": "what is on screen now?",
            "options": (NOTHING, *COLOURS),
            "answer": NOTHING,
            "hold_seconds": float(seconds),
        }
        drafts.append(_Draft(what=f"{seconds} s", happenings=happenings, asks=asks))
    return list({one.what: one for one in drafts}.values())


def _state(story: _Story) -> list[_Draft]:
    """Follow where a thing is, while it is there; one that is nowhere has no place."""
    drafts = []
    for thing in (*story.things, *story.near):
        stays = story.of(thing)
        seen = [
            (second, REGIONS[story.cell(stay, second)])
            for second in story.moments
            for stay in stays
            if stay.is_on_screen(second)
        ]
        due, brief = changes_of_place(seen, picture_seconds=1 / story.fps)
        asks = {
            "question": f"where is the {thing} now?",
            "kind": "state",
            "tells": "changed",
            "options": REGIONS,
            "also": (is_there(thing),),
            "raise_at": _SURE_OF_CHANGE,
        }
        drafts.append(_Draft(what=str(thing), happenings=due, brief=brief, asks=asks))
    return [one for one in drafts if one.happenings or one.what not in map(str, story.things)]


def _count(story: _Story) -> list[_Draft]:
    """Follow how often a thing came, as far as there are words for it, by counting its comings."""
    return [
        _Draft(
            what=str(thing),
            happenings=tuple(
                Happening(seconds=float(start), value=number)
                for number, (start, _) in zip(NUMBERS[1:], spans, strict=False)
            ),
            asks=_coming(thing) | {"hold_seconds": _COUNT_HOLD_SECONDS},
        )
        for thing in (*story.things, *story.near)
        for spans in [story.shown(thing)]
        if len(spans) == len(story.of(thing))
    ]


CONDITIONS: dict[str, Callable[[_Story], list[_Draft]]] = {
    "appears": _appears,
    "leaves": _leaves,
    "comes_again": _comes_again,
    "second": _second,
    "two_at_once": _two_at_once,
    "place_reached": _place_reached,
    "quiet": _quiet,
    "state": _state,
    "count": _count,
}
MEMORY_CONDITIONS = ("comes_again",)
"""Those that neither a picture tells nor what a watch itself saw before."""
