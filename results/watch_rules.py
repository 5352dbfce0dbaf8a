"""When an alert should speak: one recording of what a model says each second, and many rules replayed on it.

    python results/watch_rules.py --model FOLDER --out results/watch_rules.json
    python results/watch_rules.py --again results/watch_rules.json    replays stored looks

Each story has things that come and near misses that never do, half and half. Three wordings are asked at
each second; how new the picture is, and what a blank one scores, is noted beside. The rules are the
product's own watches, fed with what was recorded; a gate or a wording is what they are fed with.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hermes_lab.datasets.world import name_of
from hermes_lab.evaluation.event_matching import Told, match_events
from hermes_lab.evaluation.watch_scores import WatchOutcome, f1_difference, scores
from hermes_stream import Session, load_model
from hermes_stream.cli.machine import processor, processor_name, versions
from hermes_stream.stream.scoring import YES_NO, ScoredQuestion, score
from hermes_stream.stream.watches import Watch, WatchRules
from hermes_stream.stream.watches.calibration import score_blank
from hermes_stream.stream.watches.decisions import NewnessState, decide_newness
from hermes_stream.stream.watches.newness import newness_since
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.watch_truths import plan_watches
from hermes_stream.synthetic.world import generate_world

WORDINGS = {
    "now": "is there a {thing} now?",
    "was": "was there a {thing}?",
    "since": "did a {thing} come since you last answered two seconds ago?",
}
SINCE = WORDINGS["since"]
Feed = Callable[[dict[str, Any], dict[str, Any]], list[tuple[float, float]]]


def record(model, policy: str, seed: int, *, seconds: int, scene: str, num_each: int) -> dict[str, Any]:
    """Return what a model says of each thing at each second, and what was true."""
    world = generate_world(seed, seconds, scene=scene)
    truths = [one for one in plan_watches(world, num_each=num_each) if one.condition == "appears"]
    session = Session(model, policy, fps=1, chunk_frames=1)
    (stream,) = [session._stream]
    things = [one.name.removeprefix("appears: ") for one in truths]
    asked = [
        ScoredQuestion.of_words(model, wording.format(thing=thing), YES_NO, text_tokens=stream.text_tokens)
        for thing in things
        for wording in WORDINGS.values()
    ]
    looks, newness, newest = [], [], None
    for frame in world.frames(1.0):
        session.observe(frame)
        newness.append(newness_since(session.cache, newest))
        newest = frame.pts_seconds

        def work():
            yield from stream.prepare_context()
            return (yield from score(model, stream.context, asked))

        looks.append(stream.executor.run(work()))
    blank = stream.executor.run(score_blank(stream, asked, stream.folding.newest_size))
    told = {}
    for k, truth in enumerate(truths):
        own = {}
        for w, wording in enumerate(WORDINGS):
            index = k * len(WORDINGS) + w
            own[wording] = [[round(value, 4) for value in look[index]] for look in looks]
            own[f"blank {wording}"] = [round(value, 4) for value in blank[index]]
        told[things[k]] = own | {"came_seconds": [one.seconds for one in truth.happenings]}
    return {
        "story": name_of(world),
        "scene": scene,
        "seconds": seconds,
        "newness": [round(one, 4) for one in newness],
        "things": told,
    }


def plain(wording: str) -> Feed:
    """Feed what was said."""
    return lambda own, _: own[wording]


def without_blank(own: dict[str, Any], _: dict[str, Any]) -> list[tuple[float, float]]:
    """Take off what a blank picture scores."""
    yes, no = own["blank now"]
    return [(look[0] - yes, look[1] - no) for look in own["now"]]


def gated(quantile: float) -> Feed:
    """Take a yes that begins for a no, unless the picture or the one before is new."""

    def feed(own: dict[str, Any], story: dict[str, Any]) -> list[tuple[float, float]]:
        state, was_new, before, found = NewnessState(), True, False, []
        for (yes, no), newness in zip(own["now"], story["newness"], strict=True):
            state = decide_newness(state, newness=newness, quantile=quantile)
            is_yes = yes > no and (before or state.is_new or was_new)
            found.append((yes, no) if is_yes or yes <= no else (no, yes))
            was_new, before = state.is_new, is_yes
        return found

    return feed


def rising(nats: float, num_looks: int = 8) -> Feed:
    """Take for yes that "no" surprises more than it did of late, by so many nats: a gate by perplexity."""

    def feed(own: dict[str, Any], _: dict[str, Any]) -> list[tuple[float, float]]:
        found, past = [], []
        for _, no in own["now"]:
            usual = sum(past[-num_looks:]) / len(past[-num_looks:]) if past else no
            margin = (usual - no) - nats
            found.append((_log_sigmoid(margin), _log_sigmoid(-margin)))
            past.append(no)
        return found

    return feed


def _log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value)) if value > -30 else value


RULES: dict[str, tuple[dict[str, Any], Feed]] = {
    "now, 0.5": ({}, plain("now")),
    "now, 0.5, two in a row": ({"hold_seconds": 1}, plain("now")),
    "now, 0.6, cleared at 0.4": ({"raise_at": 0.6, "clear_at": 0.4}, plain("now")),
    "now, 0.7, cleared at 0.3": ({"raise_at": 0.7, "clear_at": 0.3}, plain("now")),
    "now, 0.8, cleared at 0.2": ({"raise_at": 0.8, "clear_at": 0.2}, plain("now")),
    "now, 0.9, cleared at 0.1": ({"raise_at": 0.9, "clear_at": 0.1}, plain("now")),
    "now, 0.9, cleared at 0.5": ({"raise_at": 0.9, "clear_at": 0.5}, plain("now")),
    "now, 0.97, cleared at 0.5": ({"raise_at": 0.97, "clear_at": 0.5}, plain("now")),
    "now, blank taken off": ({}, without_blank),
    "now, first minute taken off": ({"calibrate": "start"}, plain("now")),
    "now, gate by novelty, half of all": ({}, gated(0.5)),
    "now, gate by novelty, newest fifth": ({}, gated(0.8)),
    "now, gate by perplexity, 1 nat": ({}, rising(1.0)),
    "now, gate by perplexity, 2 nats": ({}, rising(2.0)),
    "came since, 0.5": ({}, plain("since")),
    "came since, 0.7, cleared at 0.3": ({"raise_at": 0.7, "clear_at": 0.3}, plain("since")),
    "came since, 0.9, cleared at 0.1": ({"raise_at": 0.9, "clear_at": 0.1}, plain("since")),
    "now, 0.9, two in a row": ({"raise_at": 0.9, "hold_seconds": 1}, plain("now")),
    "now, 0.9, cleared at 0.7": ({"raise_at": 0.9, "clear_at": 0.7}, plain("now")),
    "now, 0.9, cleared at 0.8": ({"raise_at": 0.9, "clear_at": 0.8}, plain("now")),
    "now, 0.8, onset by came since": ({"raise_at": 0.8, "onset": SINCE}, plain("now")),
    "now, 0.9, onset by came since": ({"raise_at": 0.9, "onset": SINCE}, plain("now")),
    "now, 0.9, cleared at 0.8, onset by came since": (
        {"raise_at": 0.9, "clear_at": 0.8, "onset": SINCE},
        plain("now"),
    ),
    "now, 0.9, cleared at 0.7, onset by came since": (
        {"raise_at": 0.9, "clear_at": 0.7, "onset": SINCE},
        plain("now"),
    ),
    "was there, 0.5": ({}, plain("was")),
    "was there, 0.5, never cleared": ({"clear_at": 0.0}, plain("was")),
}


def left_seconds(story: dict[str, Any], thing: str) -> list[float]:
    """Return the whole seconds at which a thing is gone that was there at the one before."""
    seed = int(story["story"].split("-")[1])
    world = generate_world(seed, story["seconds"], scene=story["scene"])
    shown = [
        any(str(one.thing) == thing for one in world.on_screen(second)) for second in range(story["seconds"])
    ]
    return [float(k) for k in range(1, len(shown)) if shown[k - 1] and not shown[k]]


def replay(story: dict[str, Any], name: str, tells: str = "raised") -> list[WatchOutcome]:
    """Return what a rule makes of a story: of what comes, or of what leaves."""
    rules, feed = RULES[name]
    outcomes = []
    for thing, own in story["things"].items():
        watch = Watch(
            WatchRules(question=thing, **{"raise_at": 0.5, **rules}),
            None,
            ("yes", "no"),
            on_event=None,
            leave=lambda _: None,
        )
        events = [
            watch.see_scores(
                float(second),
                tuple(look),
                is_scheduled=True,
                conditions=[tuple(own["since"][second])] if "onset" in rules else [],
            )
            for second, look in enumerate(feed(own, story))
        ]
        told = [Told(seconds=one.stream_seconds) for one in events if one and one.kind == tells]
        due = own["came_seconds"] if tells == "raised" else own["left_seconds"]
        # what stays true once it came is told once
        due = due[:1] if rules.get("clear_at") == 0 else due
        outcomes.append(
            WatchOutcome(
                story=story["story"],
                scene=story["scene"],
                condition="appears" if tells == "raised" else "leaves",
                comes=bool(due),
                matching=match_events([Told(seconds=one) for one in due], told),
                watched_seconds=story["seconds"],
                num_polls=story["seconds"],
            )
        )
    return outcomes


def scored(stories: list[dict[str, Any]]) -> dict[str, Any]:
    """Score every rule, and its difference in F1 to the plain margin."""
    for story in stories:
        for thing, own in story["things"].items():
            own["left_seconds"] = left_seconds(story, thing)
    by_rule = {name: [one for story in stories for one in replay(story, name)] for name in RULES}
    plainest = by_rule["now, 0.5"]
    return {
        name: scores(own)
        | {
            "f1_above_plain": f1_difference(own, plainest),
            "leaves": scores([one for story in stories for one in replay(story, name, "cleared")]),
        }
        for name, own in by_rule.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--policy", default="hermes")
    parser.add_argument("--stories", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--seed", type=int, default=72_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", type=Path)
    given = parser.parse_args()
    if given.again:
        document = json.loads(given.again.read_text(encoding="utf-8"))
        stories, out = document["stories"], given.again
    else:
        model, scenes, stories = load_model(given.model), list(SCENES), []
        for number in range(given.stories):
            scene = scenes[number % len(scenes)]
            stories.append(
                record(
                    model,
                    given.policy,
                    given.seed + number,
                    seconds=given.seconds,
                    scene=scene,
                    num_each=given.each,
                )
            )
            sys.stderr.write(f"{scene}\n")
        out = given.out
        document = {
            "command": f"python {' '.join(sys.argv)}",
            "model": given.model,
            "policy": given.policy,
            "seed": given.seed,
            "machine": {"processor": processor_name(), **processor()},
            "versions": versions(),
        }
    document |= {"rules": scored(stories), "stories": stories}
    for name, own in document["rules"].items():
        delay, above = own["delay_seconds"], own["f1_above_plain"]
        never = own["never_comes"]["false_alarms_per_hour"]
        told = (
            f"F1 {own['f1'] or 0:.3f} precision {own['precision'] or 0:.2f} recall {own['recall'] or 0:.2f}",
            f"false an hour {own['false_alarms_per_hour']:6.1f}, of what never comes {never:5.1f}",
            f"delay {delay['median']} {delay['p95']}, above the first {above['value']:+.3f}",
        )
        leaves = own["leaves"]
        told += (f"leaves F1 {leaves['f1'] or 0:.3f}, {leaves['false_alarms_per_hour']:.1f} false an hour",)
        sys.stdout.write(f"{name:38} {'; '.join(told)}\n")
    if out:
        out.write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
