"""The same looks under the older and the newer rules of each condition, on stories that chose neither.

    python results/watch_onset.py --model FOLDER --looks LOOKS --out results/watch_onset.json

What the model says each second of two things that come and two near misses that never do is kept in LOOKS, a
file for each scene, and asked once: a run that was stopped goes on with the next scene. A file that ends
before its story does is scored as far as it goes. The rules are the product's own watches, fed with it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from hermes_lab.evaluation.event_matching import Told, match_events
from hermes_lab.evaluation.watch_scores import WatchOutcome, f1_difference, scores
from hermes_stream import Session, load_model
from hermes_stream.cli.machine import processor, processor_name, versions
from hermes_stream.stream.scoring import YES_NO, ScoredQuestion, score
from hermes_stream.stream.watches import Watch, WatchRules
from hermes_stream.synthetic.questions import NUMBERS
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.watch_truths import has_come, is_there, plan_watches
from hermes_stream.synthetic.world import REGIONS, THINGS, Thing, World, cell_of, generate_world

PLAIN = {"raise_at": 0.9, "clear_at": 0.5}
CONDITIONS = ("appears", "leaves", "comes_again", "second", "count", "place_reached", "state")
OPENED_SHARE = 0.25


def was_there(thing: Thing) -> str:
    return f"was there a {thing}?"


def where_is(thing: Thing) -> str:
    return f"where is the {thing} now?"


def record(model, policy: str, world: World, path: Path) -> None:
    """Write what a model says each second, a line a second behind one that names the questions."""
    session = Session(model, policy, fps=1, chunk_frames=1)
    (stream,) = [session._stream]
    room, asked = stream.text_tokens, {}
    for truth in plan_watches(world, num_each=2):
        if truth.condition != "appears":
            continue
        thing = Thing(*truth.name.removeprefix("appears: ").split())
        for text in (is_there(thing), was_there(thing), has_come(thing)):
            asked[text] = ScoredQuestion.of_words(model, text, YES_NO, text_tokens=room)
        if truth.happenings:
            text = where_is(thing)
            asked[text] = ScoredQuestion.of_options(model, text, REGIONS, text_tokens=room)

    def work():
        yield from stream.prepare_context()
        return (yield from score(model, stream.context, list(asked.values())))

    head = {"seed": world.seed, "scene": world.scene, "seconds": int(world.duration_seconds)}
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head | {"texts": list(asked)}) + "\n")
        for frame in world.frames(1.0):
            session.observe(frame)
            looks = [[round(one, 3) for one in own] for own in stream.executor.run(work())]
            file.write(json.dumps(looks) + "\n")
            file.flush()


class Looks:
    """What was said of one story, and what was true."""

    def __init__(self, path: Path) -> None:
        head, *rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line[-1] in "]}"]
        self.scene, self.num_seconds = head["scene"], len(rows)
        self.world = generate_world(head["seed"], head["seconds"], scene=self.scene)
        self.said = {text: [row[k] for row in rows] for k, text in enumerate(head["texts"])}
        self.things = [one for one in THINGS if is_there(one) in self.said]

    def spans(self, thing: Thing) -> list[tuple[int, int]]:
        """Return (from, until) of the whole seconds at which a thing shows."""
        shown = [any(one.thing == thing for one in self.world.on_screen(k)) for k in range(self.num_seconds)]
        starts = [k for k, now in enumerate(shown) if now and not (k and shown[k - 1])]
        ends = [k for k, now in enumerate(shown) if k and shown[k - 1] and not now]
        return list(zip(starts, [*ends, self.num_seconds], strict=False))

    def places(self, thing: Thing) -> list[tuple[int, str]]:
        """Return where the camera sees a thing, while it shows."""
        return [
            (second, REGIONS[cell_of(self.world.centre_in_picture(one, second))])
            for second in range(self.num_seconds)
            for one in self.world.on_screen(second)
            if one.thing == thing
        ]

    def watch(self, asked: list[str], rules: dict[str, Any], opened: int = 0) -> list[Any]:
        """Return what a watch tells; the questions are its own, then those besides."""
        options = rules.get("options")
        watch = Watch(
            WatchRules(question=asked[0], **rules),
            None,
            options or ("yes", "no"),
            on_event=None,
            leave=lambda _: None,
        )
        events = [
            watch.see_scores(
                float(second),
                tuple(self.said[asked[0]][second]),
                is_scheduled=True,
                conditions=[tuple(self.said[text][second]) for text in asked[1:]],
            )
            for second in range(opened, self.num_seconds)
        ]
        return [one for one in events if one is not None and one.suppressed is None]


def of_thing(looks: Looks, thing: Thing, condition: str, is_newer: bool) -> list[tuple[list, list, int]]:
    """Return (due, told, opened) of each watch of a condition for a thing."""
    if condition in ("place_reached", "state"):
        return list(of_place(looks, thing, condition, is_newer)) if where_is(thing) in looks.said else []
    spans, opened = looks.spans(thing), 0
    asked, rules = [is_there(thing)], {} if is_newer else dict(PLAIN)
    if condition == "comes_again":
        opened = int(OPENED_SHARE * looks.num_seconds)
        if any(start <= opened < end for start, end in spans):
            return []
        asked, rules = [*asked, was_there(thing)], rules | {"given": was_there(thing)}
        rules |= {"keeps_given": True} if is_newer else {}
    if is_newer:
        asked, rules = [*asked, has_come(thing)], rules | {"onset": has_come(thing)}
    if condition == "second":
        rules |= {"nth": 2}
    kind = "cleared" if condition == "leaves" else "raised"
    events = [one for one in looks.watch(asked, rules, opened) if one.kind == kind]
    told = [Told(seconds=one.stream_seconds) for one in events]
    due = [Told(seconds=float(start)) for start, _ in spans]
    if condition == "leaves":
        due = [Told(seconds=float(end)) for _, end in spans if end < looks.num_seconds]
    elif condition == "comes_again":
        due = [one for one in due[1:] if one.seconds > opened]
    elif condition == "second":
        due = due[1:2]
    elif condition == "count":
        due = [Told(seconds=one.seconds, value=NUMBERS[min(k, 9)]) for k, one in enumerate(due, 1)]
        told = [Told(seconds=e.stream_seconds, value=NUMBERS[min(e.incident, 9)]) for e in events]
    return [(due, told, opened)]


def of_place(looks: Looks, thing: Thing, condition: str, is_newer: bool):
    """Yield the same of a thing's places: its state, or each place that may be reached."""
    places = looks.places(thing)
    asked, rules = [where_is(thing), is_there(thing)], {"options": REGIONS, "also": (is_there(thing),)}
    rules |= {"raise_at": 0.8} if is_newer else {}
    if condition == "state":
        rules |= {"kind": "state"}
        due = [
            Told(seconds=float(second), value=place)
            for k, (second, place) in enumerate(places)
            if k and places[k - 1][1] != place
        ]
        yield due, [Told(seconds=e.stream_seconds, value=e.value) for e in looks.watch(asked, rules)], 0
        return
    for region in REGIONS:
        seconds = [second for second, place in places if place == region]
        starts = [one for one in seconds if one - 1 not in seconds]
        if any(one + 1 not in seconds for one in starts):
            continue  # as in the planned watches: seen there for a second alone
        told = [
            Told(seconds=one.stream_seconds)
            for one in looks.watch(asked, rules | {"answer": region})
            if one.kind == "raised"
        ]
        yield [Told(seconds=float(one)) for one in starts], told, 0


def outcomes(stories: list[Looks], is_newer: bool) -> list[WatchOutcome]:
    """Return what became of each watch under the older or the newer rules."""
    return [
        WatchOutcome(
            story=f"{looks.world.seed}",
            scene=looks.scene,
            condition=condition,
            comes=bool(due),
            matching=match_events(due, told),
            watched_seconds=looks.num_seconds - opened,
            num_polls=looks.num_seconds - opened,
        )
        for looks in stories
        for thing in looks.things
        for condition in CONDITIONS
        for due, told, opened in of_thing(looks, thing, condition, is_newer)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--policy", default="hermes")
    parser.add_argument("--seconds", type=int, default=160)
    parser.add_argument("--seed", type=int, default=73_000)
    parser.add_argument("--looks", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--score-only", action="store_true", help="ask nothing more")
    given = parser.parse_args()
    given.looks.mkdir(parents=True, exist_ok=True)
    paths = {scene: given.looks / f"{k}.jsonl" for k, scene in enumerate(SCENES)}
    if not given.score_only:
        model = load_model(given.model)
        for k, (scene, path) in enumerate(paths.items()):
            if not path.exists() or len(path.read_text("utf-8").splitlines()) <= given.seconds:
                record(model, given.policy, generate_world(given.seed + k, given.seconds, scene=scene), path)
    stories = [Looks(path) for path in paths.values() if path.exists()]
    older, newer = outcomes(stories, False), outcomes(stories, True)
    document = {
        "command": f"python {' '.join(sys.argv)}",
        "model": given.model,
        "policy": given.policy,
        "stories": [
            {"seed": one.world.seed, "scene": one.scene, "num_seconds": one.num_seconds} for one in stories
        ],
        "machine": {"processor": processor_name(), **processor()},
        "versions": versions(),
        "older": scores(older),
        "newer": scores(newer),
        "f1_above_older": f1_difference(newer, older),
    }
    for name in ("older", "newer"):
        for condition, own in {"all": document[name], **document[name]["by_condition"]}.items():
            numbers = f"F1 {own['f1'] or 0:.3f} precision {own['precision'] or 0:.2f}"
            told = f"{numbers} recall {own['recall'] or 0:.2f} of {own['num_due']}, false {own['num_false']}"
            rate = f"{own['false_alarms_per_hour']:.1f} an hour, delay {own['delay_seconds']}"
            sys.stdout.write(f"{name:6} {condition:14} {told}, {rate}\n")
    if given.out:
        given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
