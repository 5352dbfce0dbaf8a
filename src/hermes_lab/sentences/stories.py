"""Stories told one sentence a second, and clozes about them with exact answers.

A story is what a camera might log: people put things into rooms, vehicles stop outside, and often nothing
happens. No thing of one colour and no vehicle comes twice, so that every question has one answer. Pure
Python; it knows nothing of models.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

NUM_OPTIONS = 4
MOMENTS = (0.5, 0.75, 1.0)
"""Parts of a story after which questions are asked."""
GROUPS: dict[str, tuple[str, ...]] = {
    "now": ("now",),
    "backward": ("where", "who"),
    "order": ("first", "last"),
}
"""Kinds of questions that are scored together."""

THINGS = (
    *("umbrella", "hat", "box", "book", "bottle", "lamp", "chair", "bag", "ball", "cup", "clock", "guitar"),
    *("phone", "camera", "plate", "candle"),
)
COLOURS = ("red", "blue", "green", "yellow", "white", "black")
ROOMS = (
    *("kitchen", "garage", "garden", "bedroom", "office", "hallway", "cellar", "attic", "balcony"),
    "bathroom",
)
PEOPLE = ("Anna", "Ben", "Carl", "Dora", "Emma", "Frank")
VEHICLES = (
    *("truck", "taxi", "bus", "van", "motorcycle", "ambulance", "tractor", "bicycle", "tram", "scooter"),
    *("jeep", "tank", "train", "boat", "horse", "carriage"),
)
QUIET = (
    *("Nothing happens.", "The street is empty.", "Rain falls.", "Leaves move in the wind."),
    *("A bird flies by.", "A cat sleeps in the sun.", "The light flickers.", "Someone laughs far away."),
)
_SUMMARY = "Summary of the log:"
_PUT_SHARE, _STOP_SHARE = 0.35, 0.15
_PUT = re.compile(r"\w+ puts a (\w+ \w+) in the \w+\.")
_QUESTIONS_OF_KIND = {"where": 4, "who": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloze:
    """One question: a text whose next word is asked for.

    Attributes:
        kind: what it asks for.
        asked_frames: sentences that were shown when it is asked.
        text: what the model goes on from.
        options: words, each of which begins with another token.
        answer_index: which of them is right.
        delay_frames: sentences that were shown since the one that decides; 0 is the newest.
    """

    kind: str
    asked_frames: int
    text: str
    options: tuple[str, ...]
    answer_index: int
    delay_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Sentences, one for each frame, and what is asked about them, earliest first."""

    seed: int
    sentences: tuple[str, ...]
    questions: tuple[Cloze, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Put:
    frame: int
    who: str
    thing: str
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stop:
    frame: int
    vehicle: str


def tell_story(seed: int, num_frames: int) -> Story:
    """Make up a story and its questions; the same seed and length give the same.

    Args:
        seed: of the dice.
        num_frames: sentences, at least 4.

    Raises:
        ValueError: there are fewer sentences.
    """
    if num_frames < 4:
        raise ValueError(f"a story of {num_frames} sentences has nothing to ask about; tell 4 at least")
    dice = random.Random(f"{seed}-{num_frames}")
    moments = [max(2, round(part * num_frames)) for part in MOMENTS]
    events = _events(dice, num_frames, moments)
    questions = [one for moment in moments for one in _questions(dice, events, moment)]
    return Story(seed=seed, sentences=tuple(text for _, text in events), questions=tuple(questions))


def put_frames(story: Story) -> dict[str, int]:
    """Return in which frame each thing is put somewhere, earliest first."""
    shown = ((_PUT.fullmatch(sentence), frame) for frame, sentence in enumerate(story.sentences))
    return {found[1]: frame for found, frame in shown if found}


_Event = tuple[_Put | _Stop | None, str]


def _events(dice: random.Random, num_frames: int, moments: Sequence[int]) -> list[_Event]:
    """Draw what each frame shows; before a moment of questions something is put somewhere."""
    things = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]
    vehicles = list(VEHICLES)
    dice.shuffle(things)
    dice.shuffle(vehicles)
    # Vehicles are drawn as rarely as they must be to last for the whole story.
    stop_share = min(_STOP_SHARE, len(VEHICLES) / num_frames)
    events: list[_Event] = []
    for frame in range(num_frames):
        drawn = dice.random()
        if frame + 1 in moments or (drawn < _PUT_SHARE and len(things) > len(moments)):
            put = _Put(frame=frame, who=dice.choice(PEOPLE), thing=things.pop(), room=dice.choice(ROOMS))
            events.append((put, f"{put.who} puts a {put.thing} in the {put.room}."))
        elif drawn > 1 - stop_share and vehicles:
            stop = _Stop(frame=frame, vehicle=vehicles.pop())
            events.append((stop, f"A {dice.choice(COLOURS)} {stop.vehicle} stops outside."))
        else:
            events.append((None, dice.choice(QUIET)))
    return events


def _questions(dice: random.Random, events: Sequence[_Event], moment: int) -> list[Cloze]:
    """Ask about what came until a moment."""
    shown = [event for event, _ in events[:moment]]
    *earlier, newest = (one for one in shown if isinstance(one, _Put))
    asker = _Asker(dice, moment)
    asked = [asker.where("now", newest)]
    asked += [asker.where("where", one) for one in _draw(dice, earlier, _QUESTIONS_OF_KIND["where"])]
    asked += [asker.who(one) for one in _draw(dice, earlier, _QUESTIONS_OF_KIND["who"])]
    return asked + asker.order([one for one in shown if isinstance(one, _Stop)])


def _draw(dice: random.Random, puts: Sequence[_Put], count: int) -> list[_Put]:
    return dice.sample(puts, min(count, len(puts)))


class _Asker:
    """Words the questions of one moment, and draws their options."""

    def __init__(self, dice: random.Random, moment: int) -> None:
        self._dice, self._moment = dice, moment

    def where(self, kind: str, put: _Put) -> Cloze:
        text = f"{_SUMMARY} {put.who} put the {put.thing} in the"
        return self._cloze(kind, text, put.frame, options=self._options(put.room, ROOMS))

    def who(self, put: _Put) -> Cloze:
        text = f"{_SUMMARY} The {put.thing} was put in the {put.room} by"
        return self._cloze("who", text, put.frame, options=self._options(put.who, PEOPLE))

    def order(self, stops: Sequence[_Stop]) -> list[Cloze]:
        """Ask for the first vehicle and the last, where there were several."""
        if len(stops) < 2:
            return []
        came = [one.vehicle for one in stops]
        return [
            self._cloze(
                kind,
                f"{_SUMMARY} The {kind} vehicle that stopped outside was a",
                stop.frame,
                options=self._options(stop.vehicle, came, VEHICLES),
            )
            for kind, stop in (("first", stops[0]), ("last", stops[-1]))
        ]

    def _options(self, right: str, *pools: Sequence[str]) -> list[str]:
        """Return the right word, and wrong ones from the first pool, or from the next where it ends."""
        drawn = [word for pool in pools for word in self._dice.sample(pool, len(pool)) if word != right]
        return [right, *list(dict.fromkeys(drawn))[: NUM_OPTIONS - 1]]

    def _cloze(self, kind: str, text: str, frame: int, *, options: Sequence[str]) -> Cloze:
        """Put the options, of which the first is right, into an order of their own."""
        order = self._dice.sample(range(len(options)), len(options))
        return Cloze(
            kind=kind,
            asked_frames=self._moment,
            text=text,
            options=tuple(options[k] for k in order),
            answer_index=order.index(0),
            delay_frames=self._moment - 1 - frame,
        )
