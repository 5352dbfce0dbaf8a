"""Standing questions under several memories, compared story by story, from stored runs.

    hermes world --watches --seed 93000 --streams 7 --seconds 480 --scene all --fps 1 --size 144 --out long
    hermes eval long/watches.json --videos long --policy hermes --out run-hermes
    hermes eval long/watches.json --videos long --policy window --out run-window
    python results/watch_policies.py long/watches.json run-hermes run-window --out results/watches.json

The first run is compared with each other one: F1 of all conditions, of each, and of those that need a memory;
of these also what the memory alone knows, until a watch was told of it for the first time. A run is called by
its policy, or as ``NAME=FOLDER`` says.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hermes_lab.datasets.watch_annotations import WatchedStory, read_watches
from hermes_lab.evaluation.event_matching import TOLERANCE_SECONDS, Matching, Told, match_events
from hermes_lab.evaluation.watch_scores import WatchOutcome, f1_difference, scores
from hermes_lab.evaluation.watched_events import as_told, match_truth
from hermes_stream.synthetic.watch_truths import MEMORY_CONDITIONS, WatchTruth

_LEFT_OUT = ("schema", "version", "annotations", "videos")


def outcome(
    story: WatchedStory, watch: WatchTruth, matching: Matching, *, watched_seconds: float
) -> WatchOutcome:
    """Return what became of a watch, once what it told was matched with what was due."""
    return WatchOutcome(
        story=story.video,
        scene=story.scene,
        condition=watch.condition,
        comes=bool(watch.happenings),
        matching=matching,
        watched_seconds=watched_seconds,
        num_polls=0,
    )


def outcomes(
    stories: list[WatchedStory],
    run: Path,
    matched: Callable[[WatchTruth, list[Told]], Matching] = match_truth,
) -> list[WatchOutcome]:
    """Return what became of each watch, from the events that a run stored.

    Args:
        stories: what was watched for.
        run: folder of a run.
        matched: matches what a watch told with what was due.
    """
    events = json.loads((run / "events.json").read_text(encoding="utf-8"))
    return [
        outcome(
            story,
            watch,
            matched(watch, [Told(**one) for one in events[story.video][watch.name]]),
            watched_seconds=story.duration_seconds - watch.opened_seconds,
        )
        for story in stories
        if story.video in events
        for watch in story.watches
    ]


def told_once(condition: str | None) -> Callable[[WatchTruth, list[Told]], Matching]:
    """Let the first event alone of each watch of a condition count, as with ``clear_at=0``."""
    return lambda watch, told: match_truth(watch, told[: 1 if watch.condition == condition else None])


def at_first(watch: WatchTruth, told: list[Told]) -> Matching:
    """Match the first that was due, and what was told until then.

    A watch keeps what was given at a look, so that what comes later it knows without a memory.
    """
    due = as_told(watch.happenings[:1])
    until = due[0].seconds + TOLERANCE_SECONDS if due else math.inf
    return match_events(due, [one for one in told if one.seconds <= until])


def differences(own: list[WatchOutcome], other: list[WatchOutcome]) -> dict[str, Any]:
    """Return by how much F1 is higher, over all conditions, those that need a memory, and each."""
    groups = {"all": None, "need_memory": MEMORY_CONDITIONS}
    groups |= {name: (name,) for name in dict.fromkeys(one.condition for one in own)}
    return {
        name: f1_difference(
            *([one for one in side if chosen is None or one.condition in chosen] for side in (own, other))
        )
        for name, chosen in groups.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("watches", type=Path)
    parser.add_argument("runs", nargs="+", help="FOLDER or NAME=FOLDER")
    parser.add_argument("--told-once", metavar="CONDITION")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    stories = read_watches(given.watches)
    found: dict[str, Any] = {"command": f"python {shlex.join(sys.argv)}", "runs": {}, "f1_above": {}}
    by_policy: dict[str, list[WatchOutcome]] = {}
    firsts: dict[str, list[WatchOutcome]] = {}
    for named in given.runs:
        name, is_named, folder = named.rpartition("=")
        run = Path(folder)
        stored = json.loads((run / "scores.json").read_text(encoding="utf-8"))
        name = name if is_named else stored["policy"]
        found["runs"][name] = {k: v for k, v in stored.items() if k not in _LEFT_OUT}
        by_policy[name] = outcomes(stories, run, told_once(given.told_once))
        firsts[name] = [one for one in outcomes(stories, run, at_first) if one.condition in MEMORY_CONDITIONS]
    first, *others = by_policy
    found["f1_above"] = {
        name: differences(by_policy[first], by_policy[name])
        | {"need_memory_at_first": f1_difference(firsts[first], firsts[name])}
        for name in others
    }
    found["need_memory_at_first"] = {name: scores(own)["by_condition"] for name, own in firsts.items()}
    if given.told_once:
        found["told_once"] = {"condition": given.told_once}
        found["told_once"]["runs"] = {name: scores(own) for name, own in by_policy.items()}
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for policy, told in found["runs"].items():
        sys.stdout.write(
            f"{policy}: F1 {told['f1']:.3f}, {told['false_alarms_per_hour']:.2f} false an hour\n"
        )
        for name, one in told["by_condition"].items():
            delay = one["delay_seconds"]
            numbers = " ".join(f"{k} {one[k] or 0:.2f}" for k in ("f1", "precision", "recall"))
            false = one["false_alarms_per_hour"]
            sys.stdout.write(f"  {name:14} {numbers} false/h {false:.1f} {delay['median']} {delay['p95']}\n")
    sys.stdout.write(json.dumps(found["f1_above"], indent=1) + "\n")


if __name__ == "__main__":
    main()
