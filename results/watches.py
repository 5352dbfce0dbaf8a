"""Standing questions of the embedded model on stories in still scenes: what is heard, when, what is false.

    python results/watches.py --out results/watches_first.json
    python results/watches.py --again results/watches_first.json    scores stored stories, and loads, anew

Each story has things that come and near misses that never do, half and half; "was there a X?" is asked after
each second, by the same looks under several rules. Seeds chose nothing before. The last part drives many
streams of an engine as fast as it can.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from hermes_stream import Engine, Session, load_model
from hermes_stream.cli.machine import processor, processor_name, versions
from hermes_stream.synthetic.moment import share_a_trait
from hermes_stream.synthetic.questions import NUMBERS
from hermes_stream.synthetic.world import SHAPES, THINGS, World, generate_world

RULES = {
    "none": {"raise_at": 0.5},
    "none, 0.8 to 0.5": {"raise_at": 0.8},
    "none, two in a row": {"raise_at": 0.5, "hold_seconds": 1},
    "blank picture": {"raise_at": 0.5, "calibrate": "blank"},
    "first minute": {"raise_at": 0.5, "calibrate": "start"},
}
NUM_EACH = 3
FIRST_SECOND = 8
"""Things that come before are not asked for: a story begins with nothing seen."""
TOLERANCE_SECONDS = 2.0
NUM_RESAMPLES = 2000


def asked(world: World, rng: np.random.Generator) -> dict[str, float | None]:
    """Return things and when they first come; None for near misses."""
    first: dict = {}
    for one in world.appearances:
        first.setdefault(one.thing, one.enters_seconds)
    come = [thing for thing, seconds in first.items() if seconds >= FIRST_SECOND]
    near = [
        thing for thing in THINGS if thing not in first and any(share_a_trait(thing, one) for one in first)
    ]
    chosen = [come[i] for i in rng.permutation(len(come))[:NUM_EACH]]
    misses = [near[i] for i in rng.permutation(len(near))[: len(chosen)]]
    return {**{str(one): float(first[one]) for one in chosen}, **{str(one): None for one in misses}}


def story(model, policy: str, seed: int, seconds: float) -> dict:
    """Watch one story; return what was raised under each rule, and the changes of a state and counts."""
    world = generate_world(seed, seconds)
    truth = asked(world, np.random.default_rng(seed))
    session = Session(model, policy, fps=1, chunk_frames=1)
    watches = {
        (rule, thing): session.watch(f"was there a {thing}?", name=f"{rule}: {thing}", **fields)
        for rule, fields in RULES.items()
        for thing in truth
    }
    counts = {
        shape: session.watch(_how_many(shape), "count", options=NUMBERS, name=f"how many {shape}")
        for shape in SHAPES
    }
    session.observe(world.frames(1.0))
    session.flush()
    alerts = {rule: {} for rule in RULES}
    for (rule, thing), watch in watches.items():
        raised = [one.stream_seconds for one in watch.take_events() if one.kind == "raised"]
        alerts[rule][thing] = {"came_seconds": truth[thing], "raised_seconds": raised}
    risen = {
        shape: {
            "came_seconds": [a.enters_seconds for a in world.appearances if a.thing.shape == shape][:9],
            "counted_seconds": [one.stream_seconds for one in watch.take_events()],
        }
        for shape, watch in counts.items()
    }
    return {"seed": seed, "alerts": alerts, "counts": risen}


def _how_many(shape: str) -> str:
    return f"how many {shape}{'es' if shape.endswith('s') else 's'} came so far?"


def tally(truths: list[float], events: list[float]) -> dict:
    """Match events with truths one to one, earliest first, within the tolerance."""
    left, delays = list(events), []
    for truth in truths:
        found = next((one for one in left if 0 <= one - truth <= TOLERANCE_SECONDS), None)
        if found is not None:
            left.remove(found)
            delays.append(found - truth)
    early = [one for one in left if any(one < truth for truth in truths)]
    return {
        "right": len(delays),
        "missed": len(truths) - len(delays),
        "false": len(left),
        "early": len(early),
        "delays": delays,
    }


def summed(tallies: list[dict], watch_hours: float) -> dict:
    """Add tallies up."""
    right, missed, false = (sum(one[name] for one in tallies) for name in ("right", "missed", "false"))
    delays = [delay for one in tallies for delay in one["delays"]]
    return {
        "right": right,
        "missed": missed,
        "false": false,
        "early": sum(one["early"] for one in tallies),
        "precision": right / max(right + false, 1),
        "recall": right / max(right + missed, 1),
        "f1": 2 * right / max(2 * right + false + missed, 1),
        "delay_seconds": {"median": median(delays), "p95": float(np.percentile(delays, 95))}
        if delays
        else None,
        "false_alarms_per_hour": false / watch_hours,
    }


def with_interval(by_story: list[list[dict]], hours_of_story: list[float]) -> dict:
    """Sum over stories, with an interval of F1 and false alarms by drawing stories again."""
    total = summed([one for own in by_story for one in own], sum(hours_of_story))
    rng, drawn = np.random.default_rng(0), []
    for _ in range(NUM_RESAMPLES):
        picks = rng.integers(len(by_story), size=len(by_story))
        again = summed([one for i in picks for one in by_story[i]], sum(hours_of_story[i] for i in picks))
        drawn.append((again["f1"], again["false_alarms_per_hour"]))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0).tolist()
    return total | {"f1_interval": [low[0], high[0]], "false_alarms_per_hour_interval": [low[1], high[1]]}


def scored(stories: list[dict], seconds: float) -> dict:
    """Score all stories under each rule, near misses apart too, and the rising counts."""
    found = {}
    for rule, raises_once in [(rule, once) for rule in RULES for once in (False, True)]:
        own = [list(one["alerts"][rule].values()) for one in stories]
        if raises_once:
            # with clear_at=0 an alert is raised as with any other, and never again
            own = [[{**w, "raised_seconds": w["raised_seconds"][:1]} for w in one] for one in own]
        tallies = [
            [
                tally([] if w["came_seconds"] is None else [w["came_seconds"]], w["raised_seconds"])
                for w in one
            ]
            for one in own
        ]
        name = f"{rule}, never cleared" if raises_once else rule
        found[name] = with_interval(tallies, [len(one) * seconds / 3600 for one in own])
        near = [w for one in own for w in one if w["came_seconds"] is None]
        found[name]["near_misses"] = {
            "num_watches": len(near),
            "num_raised": sum(bool(w["raised_seconds"]) for w in near),
        }
        found[name]["num_things_that_come"] = sum(map(len, own)) - len(near)
    counts = [
        [tally(w["came_seconds"], w["counted_seconds"]) for w in one["counts"].values()] for one in stories
    ]
    return {
        "was there a X?": found,
        "how many came": with_interval(counts, [len(SHAPES) * seconds / 3600] * len(stories)),
    }


def load(model, num_streams: int, num_watches: int, seconds: int) -> dict:
    """Drive streams of an engine as fast as it can, with and without their watches."""
    took = {}
    for count in (0, num_watches // num_streams):
        engine = Engine(model)
        handles = [engine.add(fps=1, chunk_frames=1) for _ in range(num_streams)]
        for handle in handles:
            for thing in THINGS[:count]:
                handle.watch(f"was there a {thing}?", every_seconds=1)
        pictures = [list(generate_world(seed, seconds).frames(1.0)) for seed in range(num_streams)]
        began = time.process_time()
        for index in range(seconds):
            for handle, frames in zip(handles, pictures, strict=True):
                handle.observe(frames[index])
            engine.run()
        took[count] = time.process_time() - began
        stats = [handle.watches.stats for handle in handles]
    return {
        "num_streams": num_streams,
        "num_watches": num_watches,
        "stream_seconds": seconds,
        "processor_seconds_without_watches": took[0],
        "processor_seconds_with_watches": took[num_watches // num_streams],
        "num_asked": sum(one.num_asked for one in stats),
        "num_skipped": sum(one.num_skipped for one in stats),
        "milliseconds_each": float(np.mean([one.milliseconds_each for one in stats])),
        "share": float(np.mean([one.share for one in stats])),
    }


def score_again(path: Path, model) -> None:
    """Score stored stories, and drive streams, once more."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for own in document["policies"].values():
        own["scores"] = scored(own["stories"], document["seconds"])
    document["load"] = load(model, num_streams=16, num_watches=64, seconds=60)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load_alone(name: str, model) -> dict:
    """Drive streams, and tell where."""
    return {
        "command": f"python {' '.join(sys.argv)}",
        "model": name,
        "machine": {"processor": processor_name(), **processor()},
        "versions": versions(),
        "load": load(model, num_streams=16, num_watches=64, seconds=60),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--policies", nargs="+", default=["hermes", "window"])
    parser.add_argument("--stories", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--seed", type=int, default=71_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", type=Path)
    parser.add_argument("--load", type=Path, help="drive streams alone, and write this file")
    given = parser.parse_args()
    model = load_model(given.model)
    if given.load:
        text = json.dumps(load_alone(given.model, model), indent=1)
        given.load.write_text(text + "\n", encoding="utf-8")
        return
    if given.again:
        score_again(given.again, model)
        return
    by_policy = {}
    for policy in given.policies:
        stories = []
        for seed in range(given.seed, given.seed + given.stories):
            stories.append(story(model, policy, seed, given.seconds))
            sys.stderr.write(f"{policy} {seed}\n")
        by_policy[policy] = {"scores": scored(stories, given.seconds), "stories": stories}
    document = {
        "command": f"python {' '.join(sys.argv)}",
        "model": given.model,
        "scene": "still",
        "num_stories": given.stories,
        "seconds": given.seconds,
        "seed": given.seed,
        "tolerance_seconds": TOLERANCE_SECONDS,
        "machine": {"processor": processor_name(), **processor()},
        "versions": versions(),
        "load": load(model, num_streams=16, num_watches=64, seconds=60),
        "policies": by_policy,
    }
    text = json.dumps(document, indent=1)
    told = {name: own["scores"] for name, own in by_policy.items()}
    sys.stdout.write(json.dumps({**told, "load": document["load"]}, indent=1) + "\n")
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
