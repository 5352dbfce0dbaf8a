"""Questions that may be about something never shown: colour, place and order, with "not seen" to choose.

They come in pairs. One asks about what was shown, one about what was not, in the same words and with options
of the same make, so that only what was seen tells the two apart: "not seen" is right in half of them.
"""

from __future__ import annotations

from collections.abc import Callable

from hermes_stream.synthetic.moment import (
    NUM_OPTIONS,
    Moment,
    Question,
    names_of,
    share_a_trait,
)
from hermes_stream.synthetic.world import COLOURS, REGIONS, SHAPES, THINGS, Appearance, Thing

NOT_SEEN = "not seen"

_FIRST_SHARE = 0.5


def _colour(moment: Moment, kind: str, *, is_seen: bool) -> Question | None:
    """Ask for the colour of the first or the last of a shape."""
    shapes = {a.thing.shape for a in moment.seen}
    shape = moment.choose([one for one in SHAPES if (one in shapes) == is_seen])
    if shape is None or not moment.seen:
        return None
    which = "first" if moment.rng.random() < _FIRST_SHARE else "last"
    alike = [a for a in moment.seen if a.thing.shape == shape]
    truth = (alike[0] if which == "first" else alike[-1]) if alike else None
    answer = truth.thing.colour if truth else NOT_SEEN
    wrong = [*moment.shuffled(sorted({a.thing.colour for a in moment.seen})), *moment.shuffled(COLOURS)]
    text = f"what colour was the {which} {shape}?"
    return _question(moment, kind, text, answer, wrong=wrong, truth=truth)


def _place(moment: Moment, kind: str, *, is_seen: bool) -> Question | None:
    """Ask where a thing was as it came in."""
    clear = [
        (a, name)
        for i, name in names_of(moment.seen)
        if moment.is_clear(a := moment.seen[i], a.enters_seconds)
    ]
    if not clear:
        return None
    truth, name = None, None
    if is_seen:
        chosen = moment.choose(clear)
        assert chosen is not None
        truth, name = chosen
    elif thing := _never_shown(moment):
        name = _renamed(moment, thing)
    if name is None:
        return None
    answer = _entrance(truth) if truth else NOT_SEEN
    wrong = [*moment.shuffled(sorted({_entrance(a) for a, _ in clear})), *moment.shuffled(REGIONS)]
    return _question(moment, kind, f"where did the {name} come in?", answer, wrong=wrong, truth=truth)


def _order(moment: Moment, kind: str, *, is_seen: bool) -> Question | None:
    """Ask what came right before or right after a thing."""
    seen, step = moment.seen, -1 if moment.rng.random() < 0.5 else 1
    possible = [(i, name) for i, name in names_of(seen) if 0 <= i + step < len(seen)]
    if not possible:
        return None
    if is_seen:
        chosen = moment.choose(possible)
        assert chosen is not None
        i, name = chosen
        truth, asked = seen[i + step], seen[i].thing
    else:
        thing = _never_shown(moment)
        if thing is None:
            return None
        truth, asked, name = None, thing, _renamed(moment, thing)
    lure = truth.thing if truth else moment.choose(sorted({a.thing for a in seen}))
    assert lure is not None
    other, like_other, like_lure = moment.wrong_things(lure, but=[asked])
    # Two of the three things are alike; the truth, if it is among them, is any of them.
    wrong = [other, like_other if moment.rng.random() < 1 / 3 else like_lure]
    text = f"what came {'before' if step < 0 else 'after'} the {name}?"
    options = [*wrong, NOT_SEEN] if truth else [str(lure), *wrong]
    shown = [truth, seen[i]] if truth else []
    return moment.question(kind, text, str(truth.thing) if truth else NOT_SEEN, options, evidence=shown)


def _question(
    moment: Moment, kind: str, text: str, answer: str, *, wrong: list[str], truth: Appearance | None
) -> Question:
    """Put a question together: three answers, the wrong ones in their order, and "not seen"."""
    others = [one for one in dict.fromkeys(wrong) if one != answer]
    options = [*others[: NUM_OPTIONS - (2 if truth else 1)], NOT_SEEN]
    return moment.question(kind, text, answer, options, evidence=[truth] if truth else [])


def _never_shown(moment: Moment) -> Thing | None:
    """Choose a thing that did not come, like one that did."""
    shown = {a.thing for a in moment.seen}
    return moment.choose([t for t in THINGS if t not in shown and any(share_a_trait(t, s) for s in shown)])


def _renamed(moment: Moment, thing: Thing) -> str:
    """Return a name for a thing that did not come, of a form that those have which did."""
    names = names_of(moment.seen)
    i, name = names[int(moment.rng.integers(len(names)))]
    return name.replace(str(moment.seen[i].thing), str(thing))


def _entrance(appearance: Appearance) -> str:
    return REGIONS[appearance.cell_at(appearance.enters_seconds)]


def _kind(
    ask: Callable[..., Question | None], kind: str, *, is_seen: bool
) -> Callable[[Moment], Question | None]:
    return lambda moment: ask(moment, kind, is_seen=is_seen)


_FORMS = {"colour": _colour, "place": _place, "order": _order}
RECALL_KINDS: dict[str, Callable[[Moment], Question | None]] = {
    f"{name}_seen": _kind(ask, f"{name}_seen", is_seen=True) for name, ask in _FORMS.items()
}
UNSEEN_KINDS: dict[str, Callable[[Moment], Question | None]] = {
    f"{name}_not_seen": _kind(ask, f"{name}_not_seen", is_seen=False) for name, ask in _FORMS.items()
}
