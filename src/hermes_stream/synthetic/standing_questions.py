"""Yes or no about now, and about the time since the last answer: what a standing question asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hermes_stream.synthetic.moment import Moment, Question, share_a_trait
from hermes_stream.synthetic.world import THINGS, Appearance, Thing

LONGEST_SINCE_SECONDS = 59
"""How long ago the last answer may have been given; a model is told in words of up to fifty nine seconds."""

# An empty screen has one answer, so it is asked about half as often, and elsewhere yes is said a little more.
_YES_SHARE = 0.58
_ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_ONES_WORDS = (*_ONES.split(), "seventeen", "eighteen", "nineteen")
_TENS_WORDS = ("twenty", "thirty", "forty", "fifty")
_MARGIN_SHARE = 1 / 8


def spoken_seconds(seconds: int) -> str:
    """Return a number of seconds in words, from one to fifty nine.

    Raises:
        ValueError: it is not from 1 to 59.
    """
    if not 1 <= seconds <= LONGEST_SINCE_SECONDS:
        raise ValueError(f"seconds must be from 1 to {LONGEST_SINCE_SECONDS}, got {seconds}")
    if seconds < 20:
        words = [_ONES_WORDS[seconds - 1]]
    else:
        words = [_TENS_WORDS[seconds // 10 - 2], *([_ONES_WORDS[seconds % 10 - 1]] if seconds % 10 else [])]
    return " ".join([*words, "second" if seconds == 1 else "seconds"])


def _is_there_now(moment: Moment) -> Question | None:
    """Half the time what shows now; else what showed before, or what is like a thing that shows.

    Half the time what is both, if there is such a thing: a colour that shows and a shape that showed are
    easily put together. Of what showed before, half the time the one that left last.
    """
    shown = moment.on_screen
    if not shown and moment.rng.random() < 0.5:
        return None
    is_true = bool(shown) and bool(moment.rng.random() < _YES_SHARE)
    things = sorted({a.thing for a in shown})
    if is_true:
        thing = moment.choose(things)
    else:
        gone, near = sorted({a.thing for a in moment.seen} - set(things)), _near(things)
        both = [thing for thing in gone if thing in near]
        if both and moment.rng.random() < 0.5:
            gone = near = both
        if gone and moment.rng.random() < 0.5:
            left = [a for a in moment.seen if a.thing in gone]
            gone = [max(left, key=lambda a: a.leaves_seconds).thing]
        thing = moment.choose(_either(moment, gone, near)) or moment.choose(THINGS)
    assert thing is not None
    evidence = [a for a in shown if a.thing == thing]
    return _yes_or_no(moment, "is_there_now", f"is there a {thing} now?", evidence=evidence)


def _came_since(moment: Moment) -> Question | None:
    """Half the time what came since the last answer; else what came before it, or is like what came.

    Half the time what is both, if there is such a thing, and the one that came last.
    At moments at which there is only one of the two answers nothing is asked, nor about an entrance so close
    to the last answer that only counting seconds would tell it apart.
    """
    since = moment.since_seconds
    if since is None or not 1 <= (elapsed := round(moment.seconds - since)) <= LONGEST_SINCE_SECONDS:
        return None
    came = {a.thing for a in moment.seen if a.enters_seconds > since}
    margin = elapsed * _MARGIN_SHARE
    unclear = {a.thing for a in moment.seen if abs(a.enters_seconds - since - 0.5) < max(margin, 0.5)}
    yes = sorted({a.thing for a in moment.seen if a.enters_seconds - since - 0.5 >= max(margin, 0.5)})
    earlier = sorted({a.thing for a in moment.seen} - came - unclear)
    like = [thing for thing in _near(sorted(came)) if thing not in unclear]
    no = _either(moment, earlier, like)
    if not yes or not no:
        return None
    both = [a for a in moment.seen if a.thing in earlier and a.thing in like]
    if both and moment.rng.random() < 0.5:
        no = [max(both, key=lambda a: a.enters_seconds).thing]
    thing = moment.choose(yes if moment.rng.random() < 0.5 else no)
    evidence = [a for a in moment.seen if a.thing == thing and a.enters_seconds > since]
    text = f"did a {thing} come since you last answered {spoken_seconds(elapsed)} ago?"
    return _yes_or_no(moment, "came_since", text, evidence=evidence, since_seconds=since)


def _yes_or_no(
    moment: Moment,
    kind: str,
    text: str,
    *,
    evidence: Iterable[Appearance],
    since_seconds: float | None = None,
) -> Question:
    """Put a question together that is true where there is evidence."""
    shown = tuple(evidence)
    answer = "yes" if shown else "no"
    return moment.question(kind, text, answer, ["yes", "no"], evidence=shown, since_seconds=since_seconds)


def _near(things: list[Thing]) -> list[Thing]:
    """Return the others that share a colour or a shape with one of them."""
    return [t for t in THINGS if t not in things and any(share_a_trait(t, one) for one in things)]


def _either(moment: Moment, one: list[Thing], other: list[Thing]) -> list[Thing]:
    """Return one of two lists, each as often as the other, unless it is empty."""
    first, second = (one, other) if moment.rng.random() < 0.5 else (other, one)
    return first or second


STANDING_KINDS: dict[str, Callable[[Moment], Question | None]] = {
    "is_there_now": _is_there_now,
    "came_since": _came_since,
}
